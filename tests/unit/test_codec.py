import collections
import contextlib
import datetime as dt
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr.errors import InvariantError, UserCodeError
from s3mr.shuffle.codec import Encoder, decode
from s3mr.shuffle.value_types import TUPLES_MAX, check_value, column_bytes, snapshot

text = st.text(st.characters())  # with lone surrogates
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**90), 2**90), st.floats(allow_nan=False), text, st.binary()
)
hashables = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
values = st.recursive(
    hashables,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(hashables, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
def test_a_decoded_value_equals_the_encoded_one_in_value_and_type(value: Any) -> None:
    assert repr(decode(Encoder().encode(value))) == repr(value)


@pytest.mark.parametrize("depth", [0, 1, TUPLES_MAX - 2])
def test_lone_surrogates_in_nested_tuples_cost_no_more_than_other_letters(depth: int) -> None:
    value: Any = ("\ud800",)
    for _ in range(depth):
        value = (value, "\ud800")
    encoder = Encoder()
    assert decode(encoder.encode(value)) == value  # twice the work at each depth would never end
    assert encoder.encode("é") == b"\xa2" + "é".encode()


@given(st.binary(max_size=60))
def test_bytes_that_are_not_a_value_raise_an_invariant_error(data: bytes) -> None:
    with contextlib.suppress(InvariantError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xa1\xff",
        b"\x91" * 3000 + b"\x01",
        b"\x81\x90\x01",
        msgpack.packb(msgpack.ExtType(7, b"")),
        msgpack.packb(msgpack.ExtType(1, b"\x01")),
    ],
)
def test_damaged_messages_raise_an_invariant_error(data: bytes) -> None:
    with pytest.raises(InvariantError):
        decode(data)


@pytest.mark.parametrize("value", ["a" * 120_000_000, b"b" * 20_000_000, list(range(2_000_000))])
def test_large_values_are_accepted(value: Any) -> None:
    assert decode(Encoder().encode(value)) == value


@given(st.lists(values, max_size=5))
def test_the_size_of_a_column_is_the_sum_of_its_values(column: list[Any]) -> None:
    whole = column_bytes(column)
    parts = sum(map(check_value, column))
    assert abs(whole - parts) <= 8 * len(column)


@given(values)
def test_a_size_is_at_least_the_encoded_size(value: Any) -> None:
    assert check_value(value) >= len(Encoder().encode(value))


class Celsius(float):
    pass


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, 2, 3, {4}]}, [r"value\['a'\]\[3\]", "set", "sorted"]),
        (collections.Counter("aab"), ["Counter", "make it a dict"]),
        (collections.defaultdict(int), ["defaultdict", "make it a dict"]),
        (collections.OrderedDict(), ["OrderedDict", "make it a dict"]),
        ([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], [r"value\[0\]", "isoformat"]),
        ((1, Celsius(3)), [r"value\[1\]", r"float\(value\)"]),
        (bytearray(b"a"), ["bytearray", "bytes"]),
        (memoryview(b"a"), ["memoryview", "bytes"]),
        ({frozenset(): 1}, ["key … of value", "frozenset"]),
        (msgpack.ExtType(1, b""), ["ExtType"]),
        (object(), ["object", "values are"]),
    ],
)
def test_a_value_that_cannot_be_serialized_is_refused_with_its_position_and_advice(
    value: Any, words: list[str]
) -> None:
    for word in words:
        with pytest.raises(UserCodeError, match=word):
            check_value(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = [1]
    value.append({"again": value})
    with pytest.raises(UserCodeError, match="contains itself"):
        check_value(value)


def test_the_same_value_twice_is_not_a_cycle() -> None:
    shared = [1]
    assert check_value([shared, shared]) > check_value([shared])


@pytest.mark.parametrize(
    ("wrap", "deepest"), [(lambda value: [value], 199), (lambda value: {1: value}, 199), (lambda value: (value,), 31)]
)
def test_nesting_is_limited_and_every_value_within_the_limit_is_accepted(wrap: Any, deepest: int) -> None:
    value: Any = wrap(1)
    for _ in range(deepest):
        value = wrap(value)
    check_value(value)
    assert repr(decode(Encoder().encode([[], [[value]]]))) == repr([[], [[value]]])
    with pytest.raises(UserCodeError, match="deep"):
        check_value(wrap(value))


def test_forged_nested_tuples_raise_an_invariant_error_and_do_not_crash_the_process() -> None:
    value: Any = 1
    for _ in range(1000):
        value = msgpack.ExtType(1, msgpack.packb([value]))
    with pytest.raises(InvariantError):
        decode(msgpack.packb(value))


@given(values)
def test_a_snapshot_equals_its_value(value: Any) -> None:
    assert repr(snapshot(value)) == repr(value)


def test_a_snapshot_does_not_change_with_its_value() -> None:
    value: dict[str, Any] = {"a": [1, ([2],)]}
    taken = snapshot(value)
    value["a"][1][0].append(3)
    value["a"].append(4)
    value["b"] = 5
    assert taken == {"a": [1, ([2],)]}
