import enum
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr.errors import InvariantError, UserCodeError
from s3mr.shuffle.key_types import KeyTypes, key_type, merge_types
from s3mr.shuffle.partitioning import by_function, by_hash, stable_hash


class Colour(enum.StrEnum):
    RED = "red"


class Whole(int):
    pass


@pytest.mark.parametrize(
    ("key", "spelled"),
    [
        ("a", "str"),
        (b"a", "bytes"),
        (1, "int"),
        (1.0, "float"),
        (True, "bool"),
        (("a", 1), "tuple[str,int]"),
        (("a", (1.0, b"")), "tuple[str,tuple[float,bytes]]"),
        ((), "tuple[]"),
    ],
)
def test_each_kind_of_key_has_a_type_name(key: Any, spelled: str) -> None:
    assert key_type(key) == spelled
    assert merge_types(spelled, spelled) == spelled


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        (Colour.RED, "use str"),
        (Whole(3), "use int"),
        (None, "NoneType"),
        ([1], "use tuple"),
        (("a", [1]), "use tuple"),
        ({1}, "sorted"),
        (3j, "complex"),
    ],
)
def test_an_object_that_cannot_be_a_key_is_refused_with_advice(key: Any, advice: str) -> None:
    with pytest.raises(UserCodeError, match=advice):
        key_type(key)


@pytest.mark.parametrize("key", [float("nan"), (1.0, float("nan")), ((float("nan"),),)])
def test_nan_cannot_be_a_key_at_any_depth(key: Any) -> None:
    with pytest.raises(UserCodeError, match="NaN"):
        key_type(key)


def test_a_key_nested_too_deep_is_refused() -> None:
    key: Any = ()
    for _ in range(100):
        key = (key,)
    with pytest.raises(UserCodeError, match="deep"):
        key_type(key)


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        ("tuple[str]", "tuple[str,int]", "tuple[str,int]"),
        ("tuple[str,int]", "tuple[]", "tuple[str,int]"),
        ("tuple[tuple[str,int],int]", "tuple[tuple[str],int,bytes]", "tuple[tuple[str,int],int,bytes]"),
    ],
)
def test_tuples_that_agree_up_to_the_shorter_one_have_one_type(one: str, other: str, merged: str) -> None:
    assert merge_types(one, other) == merge_types(other, one) == merged


@pytest.mark.parametrize(
    ("one", "other"),
    [("int", "bool"), ("int", "float"), ("str", "tuple[str]"), ("tuple[str,int]", "tuple[str,str]")],
)
def test_mixed_types_are_refused(one: str, other: str) -> None:
    with pytest.raises(UserCodeError, match="mixed types"):
        merge_types(one, other)


def test_an_invalid_type_name_raises_an_invariant_error() -> None:
    with pytest.raises(InvariantError):
        merge_types("int", "complex")


def test_key_types_remember_the_types_of_all_keys() -> None:
    types = KeyTypes()
    types.admit(("a",))
    types.admit(("a", 1))
    assert types.name == "tuple[str,int]"
    assert types.shapes == {(str,), (str, int)}
    with pytest.raises(UserCodeError, match="mixed"):
        types.admit("a")


def test_equal_keys_have_equal_hashes() -> None:
    assert stable_hash(0.0) == stable_hash(-0.0)
    assert stable_hash((0.0, ("a", -0.0))) == stable_hash((-0.0, ("a", 0.0)))
    assert stable_hash((1.5,)) != stable_hash((-1.5,))


KEYS: list[Any] = ["", "word", "né\udcff", b"", b"\xff", 0, -1, 2**80, 1.5, True, ("a", 1), (b"x", (2.0, False))]
HASHES = [
    3244421341483603138,
    16415117739589131349,
    2097961740815193916,
    3244421341483603138,
    15473502163978278702,
    14144645293874801883,
    15473502163978278702,
    16469233342219493412,
    10301841813671556584,
    17176629001025232421,
    8856869910614451387,
    5191027737320716543,
]


def test_hashes_never_change_between_versions() -> None:
    assert [stable_hash(key) for key in KEYS] == HASHES


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_hashes_are_the_same_in_every_process(seed: str) -> None:
    code = f"from s3mr.shuffle.partitioning import stable_hash; print([stable_hash(key) for key in {KEYS!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == repr(HASHES)


def test_hashes_spread_keys_evenly() -> None:
    partitions = by_hash(10)([f"key-{number}" for number in range(10_000)])
    assert min(partitions.count(partition) for partition in range(10)) > 800


@given(st.lists(st.text() | st.text("a\udc80\udcff"), max_size=9) | st.lists(st.binary()) | st.lists(st.integers()))
def test_partitions_of_many_keys_equal_those_of_single_keys(keys: list[Any]) -> None:
    assert by_hash(7)(keys) == [stable_hash(key) % 7 for key in keys]
    assert by_hash(1)(keys) == [0] * len(keys)


@pytest.mark.parametrize("chosen", [-1, 3, True, None, 1.0, "1"])
def test_a_partition_out_of_range_is_refused(chosen: Any) -> None:
    with pytest.raises(UserCodeError, match="from 0 to 2"):
        by_function(lambda _key, _reducers: chosen, 3)("a")


def test_a_users_partition_function_is_used() -> None:
    partition = by_function(lambda key, reducers: len(key) % reducers, 3)
    assert [partition(key) for key in ("", "a", "ab", "abc")] == [0, 1, 2, 0]
