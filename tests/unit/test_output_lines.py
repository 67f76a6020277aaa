import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr.errors import UserCodeError
from s3mr.formats.output_lines import format_pair

escaped_text = st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
LETTERS = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


class Point(NamedTuple):
    x: int


def unescape(field: str) -> str:
    return re.sub(r"\\(.)", lambda match: LETTERS[match[1]], field)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("word", 3, b"word\t3\n"),
        ("word", "text", b"word\ttext\n"),
        ("ü", "😀", "ü\t😀\n".encode()),
        ("a\tb", "c\nd\re\\f", b"a\\tb\tc\\nd\\re\\\\f\n"),
        ("a\\", 1, b"a\\\\\t1\n"),
        (b"a\tb\xff\\", b"\n\r", b"a\\tb\xff\\\\\t\\n\\r\n"),
        ("\udcff", "\udcfe", b"\xff\t\xfe\n"),
        (1, 2, b"1\t2\n"),
        (True, None, b"true\tnull\n"),
        (1.5, False, b"1.5\tfalse\n"),
        (("a\t", 1), [1, "ü", None], '["a\\t",1]\t[1,"ü",null]\n'.encode()),
        (("x", ("y", b"z")), {"k": (1, 2)}, b'["x",["y","z"]]\t{"k":[1,2]}\n'),
        ("k", {2: "b", True: 1, None: 1.5}, b'k\t{"2":"b","true":1,"null":1.5}\n'),
        ("k", {"b": b"\xff"}, b'k\t{"b":"\xff"}\n'),
        ("k", float("nan"), b"k\tNaN\n"),
        ("k", [float("inf"), float("-inf")], b"k\t[Infinity,-Infinity]\n"),
        ("", "", b"\t\n"),
        ("k", 10**3000, b"k\t1" + b"0" * 3000 + b"\n"),
    ],
)
def test_a_pair_is_one_line(key: object, value: object, line: bytes) -> None:
    assert format_pair(key, value) == line


@given(escaped_text, escaped_text)
def test_any_strings_make_one_line_with_one_tab_and_can_be_parsed_back(key: str, value: str) -> None:
    line = format_pair(key, value)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.count(b"\r") == 0
    fields = line.decode("utf-8", "surrogateescape")[:-1].split("\t")
    assert list(map(unescape, fields)) == [key, value]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | escaped_text,
        lambda inner: st.lists(inner) | st.dictionaries(escaped_text, inner),
        max_leaves=10,
    ).filter(lambda value: not isinstance(value, str))
)
def test_any_other_value_is_json_on_one_line(value: object) -> None:
    line = format_pair("k", value)
    assert line.count(b"\n") == line.count(b"\t") == 1
    assert json.loads(line[2:].decode("utf-8", "surrogateescape")) == value


@pytest.mark.parametrize(
    ("key", "name"),
    [(None, "NoneType"), ([1], "list"), ({}, "dict"), ({1}, "set"), (("a", None), "NoneType"), (1j, "complex")],
)
def test_an_object_that_cannot_be_a_key_is_refused_by_its_type(key: object, name: str) -> None:
    with pytest.raises(UserCodeError, match=f"a key of type {name}:"):
        format_pair(key, 1)


def test_nan_cannot_be_a_key() -> None:
    with pytest.raises(UserCodeError, match="the key is NaN"):
        format_pair(("a", float("nan")), 1)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1}, "set"),
        (datetime.now(UTC), "datetime.datetime"),
        (Counter("a"), "collections.Counter"),
        ([b"", {"a": 1j}], "complex"),
        (bytearray(b"a"), "bytearray"),
        ((Point(1),), "test_output_lines.Point"),
    ],
)
def test_a_value_that_cannot_be_serialized_is_refused_by_its_type(value: object, name: str) -> None:
    with pytest.raises(UserCodeError, match=rf"a value of type [\w.]*{re.escape(name)} cannot be serialized"):
        format_pair("k", value)


def test_a_dict_key_that_json_does_not_have_is_refused_by_its_type() -> None:
    with pytest.raises(UserCodeError, match="a dict with a key of type tuple"):
        format_pair("k", {(1, 2): 3})


@pytest.mark.parametrize("pair", [("\ud800", 1), ("k", "a\ud800"), ("k", ["\ud800"]), ("k", {"\ud800": 1})])
def test_a_lone_surrogate_that_is_not_an_escaped_byte_is_refused_by_its_number(pair: tuple[object, object]) -> None:
    with pytest.raises(UserCodeError, match=r"lone surrogate U\+D800.*replace"):
        format_pair(*pair)


@pytest.mark.parametrize("value", [10**5000, [10**5000]], ids=["plain", "nested"])
def test_an_integer_too_long_for_decimal_is_refused_with_advice(value: object) -> None:
    with pytest.raises(UserCodeError, match="as a string"):
        format_pair("k", value)


def test_a_list_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(UserCodeError, match="contains itself"):
        format_pair("k", value)
