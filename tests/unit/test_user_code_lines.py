"""Lines of pairs from map and reduce: formatting many at once gives the same result as one by one."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr.errors import UserCodeError
from s3mr.formats.output_lines import format_pair, format_pairs
from s3mr.worker.user_functions import Functions, UserCode

TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["a\tb", "\n", "\r", "\\", "é", "\udc80", "x" * 1500]))
KEYS = st.one_of(TEXTS, st.integers(), st.tuples(TEXTS, st.booleans()))
VALUES = st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False), st.lists(st.integers(), max_size=2), st.binary())


def reduced(calls: list[tuple[Any, list[Any]]]) -> list[tuple[bytes, int]]:
    code = UserCode(
        Functions(map=lambda _source, _record: (), reduce=lambda key, values: [(key, one) for one in values])
    )
    return list(code.reduced((key, iter(values)) for key, values in calls))


@given(st.lists(st.tuples(KEYS, st.lists(VALUES, max_size=4)), max_size=8), st.sampled_from([1, 100]))
def test_lines_are_the_same_as_one_by_one(calls: list[tuple[Any, list[Any]]], times: int) -> None:
    lines = reduced(calls * times)
    pairs = [(key, value) for key, values in calls for value in values] * times
    assert b"".join(made for made, _ in lines) == b"".join(format_pair(*pair) for pair in pairs)
    assert sum(count for _, count in lines) == len(pairs)


@pytest.mark.parametrize("bad", ["\ud800", 10**5000], ids=["surrogate", "long"])
def test_a_pair_that_cannot_be_written_is_reported_with_its_own_key_among_many(bad: object) -> None:
    calls = [(f"k{number}", [bad if number == 17 else "fine"]) for number in range(40)]
    with pytest.raises(UserCodeError) as refused:
        reduced(calls)
    assert refused.value.record == "'k17'"


def test_a_pair_that_cannot_be_written_is_reported_with_the_record_of_a_map_without_reduce() -> None:
    code = UserCode(Functions(map=lambda _source, line: [(line, "\ud800" if line == "two" else 1)]))
    with pytest.raises(UserCodeError) as refused:
        list(code.mapped([("a.txt", ["one", "two", "three"])]))
    assert (refused.value.source, refused.value.record) == ("a.txt", "'two'")


@pytest.mark.parametrize(
    ("record", "held"),
    [("short", 3), ("x" * 1025, 1), (b"bytes of any length", 1), ({"a": 1}, 1)],
    ids=lambda one: str(one)[:8],
)
def test_at_most_one_large_record_waits_for_its_lines(record: Any, held: int) -> None:
    seen = []

    def records() -> Iterator[Any]:
        for number in range(3):
            seen.append(number)
            yield record

    code = UserCode(Functions(map=lambda _source, _record: [("k", 1)]))
    next(code.mapped([("a.txt", records())]))  # type: ignore[list-item] # the records of a batch are looked at in turn
    assert len(seen) == held


def test_large_values_do_not_wait_for_each_other() -> None:
    lines = reduced([("k", ["x" * 2000] * 3), ("l", ["short"] * 300)])
    assert [count for _, count in lines] == [1, 1, 1, 256, 44]


def test_pairs_that_need_escapes_are_formatted_by_format_pair() -> None:
    assert format_pairs([("a", "b"), ("c", 1)]) == b"a\tb\nc\t1\n"
    for pair in (("a\t", "b"), ("a", "\n"), ("a", "\r"), ("\\", 1), ("\udc80", 1), ("a", 10**5000)):
        assert format_pairs([("a", "b"), pair]) is None
