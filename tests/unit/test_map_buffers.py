"""The three buffers of map: pairs, groups for a combiner, or values folded by a built-in reducer."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr import reducers
from s3mr.errors import TransientError, UserCodeError
from s3mr.reducers import Reducer
from s3mr.shuffle.external_sort import TrackedValues
from s3mr.shuffle.frames import read_run, write_run
from s3mr.shuffle.group_buffer import Combine, CombineBuffer, Folding
from s3mr.shuffle.pair_buffer import BufferSettings, FillError
from s3mr.shuffle.partitioning import by_hash
from s3mr.shuffle.sort_buffer import SortBuffer
from s3mr.worker.user_functions import Functions, UserCode

Pairs = list[tuple[Any, Any]]
LISTS = Reducer("lists", list, lambda states: [value for state in states for value in state])
HOW: dict[str, dict[str, Any]] = {
    "pairs": {},
    "groups": {"combine": lambda _key, values: list(values)},
    "folds": {
        "folding": Folding(lambda _key, values: LISTS.fold(values), lambda _key, states: LISTS.merge(states)),
    },
}
any_way = pytest.mark.parametrize("how", HOW)


class Files:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> BinaryIO:
        self.made += 1
        return io.BytesIO()


def filled(
    fills: Iterable[Iterable[Any]], *, files: Files | None = None, memory_bytes: int = 10**6, **more: Any
) -> Pairs:
    """Add the pairs of each fill, and return the result."""
    given = {"partition": by_hash(1), "combine": None, "frame_bytes": 1000, "scratch": files or Files()}
    with SortBuffer(**{**given, "memory_bytes": memory_bytes, **more}) as buffer:
        for pairs in fills:
            try:
                buffer.fill("a.txt", [pairs], lambda _source, record: record)
            except FillError as stopped:
                raise stopped.error from None
        file = io.BytesIO()
        for _, batches in buffer.partitions():
            write_run(batches, file.write, frame_bytes=1000)
    return [pair for frame in read_run([file.getvalue()]) for pair in frame.pairs()]


def values_of(how: str, pairs: Pairs) -> list[Any]:
    return [one for _, state in pairs for one in state] if how == "folds" else [value for _, value in pairs]


@any_way
@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["ab"], "'ab'"),
        ([("a", 1, 2)], "tuple of 3"),
        ([("a", {1})], "sorted"),
        ([({}, 1)], "dict"),
        ([("a", 1), (1, 1)], "mixed types: str and int"),
        ([(1, 1), (True, 1)], "mixed types: int and bool"),
        ([((1,), 1), ((True,), 1)], "mixed types"),
        ([(("a", 1), 1), (("a", True), 1)], "mixed types"),
        ([((1, "a"), 1), ((True, "a"), 1)], "mixed types"),
        ([(("a", 1), 1), (("a", 1, None), 1)], "NoneType"),
        ([((object(), object()), 1)], "a key of type object"),
        ([(1.0, 1), (float("nan"), 1), (2.0, 1)], "NaN"),
        ([((1.0,), 1), ((float("nan"),), 1)], "NaN"),
        ([("a", "x" * 5000)], "a value that takes 4.9KiB"),
        ([("a", 2**40_000)], "a value that takes"),
        ([("x" * 5000, 1)], "a key that takes 4.9KiB"),
    ],
)
def test_a_pair_that_cannot_be_serialized_is_refused(how: str, pairs: list[Any], words: str) -> None:
    with pytest.raises(UserCodeError, match=words):
        filled([pairs], value_bytes_max=1000, **HOW[how])


@any_way
def test_a_list_that_map_changes_after_its_yield_keeps_its_value(how: str) -> None:
    def pairs() -> Iterator[tuple[str, list[int]]]:
        seen: list[int] = []
        for number in range(3):
            seen.append(number)
            yield "k", seen

    assert values_of(how, filled([pairs()], **HOW[how])) == [[0], [0, 1], [0, 1, 2]]


@any_way
@pytest.mark.parametrize("memory_bytes", [3_000, 10**7])
def test_the_values_of_a_key_keep_the_order_of_their_yields(how: str, memory_bytes: int) -> None:
    fills = [[(f"k{number % 3}", number) for number in range(start, start + 100)] for start in range(0, 3_000, 100)]
    out = filled(fills, memory_bytes=memory_bytes, **HOW[how])
    assert [key for key, _ in out] == sorted(key for key, _ in out)
    for key in range(3):
        assert values_of(how, [pair for pair in out if pair[0] == f"k{key}"]) == list(range(key, 3_000, 3))


@any_way
@pytest.mark.parametrize("memory_bytes", [600, 1_500, 10**6])
@given(
    alike=st.lists(st.tuples(st.sampled_from("abc"), st.just(7)), max_size=20),
    others=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([7, 8, "7", 7.0, True, None, [7]])), max_size=20),
)
def test_equal_first_values_keep_their_order_among_others(
    how: str, memory_bytes: int, alike: Pairs, others: Pairs
) -> None:
    out = filled([alike, others, alike], memory_bytes=memory_bytes, **HOW[how])
    for key in "abc":
        came = [value for own, value in (*alike, *others, *alike) if own == key]
        got = values_of(how, [pair for pair in out if pair[0] == key])
        assert [(type(one), one) for one in got] == [(type(one), one) for one in came]


@pytest.mark.parametrize(("how", "calls"), [("groups", 1), ("folds", 3)])
def test_one_value_a_hundred_thousand_times_takes_the_memory_of_a_count(how: str, calls: int) -> None:
    files, called = Files(), []

    def added(_key: str, values: Iterable[int]) -> int:
        called.append(1)
        return sum(values)

    more: dict[str, Any] = {"folds": {"folding": Folding(added, lambda _key, states: sum(states))}}.get(
        how, {"combine": lambda key, values: [added(key, values)]}
    )
    out = filled([[("k", 1)] * 60_000, [("k", 1)] * 40_000], files=files, memory_bytes=900_000, **more)
    assert (out, len(called), files.made) == ([("k", 100_000)], calls, 0)  # folds: the first, and at most 2**16 at once


@pytest.mark.parametrize("combine", [lambda _key, values: values, lambda _key, values: [*map(int, [*values])]])
def test_values_that_a_combiner_yields_unchanged_are_spilled(combine: Combine) -> None:
    files = Files()
    out = filled([[("k", 1)] * 50_000], files=files, memory_bytes=100_000, combine=combine)
    assert out == [("k", 1)] * 50_000
    assert files.made > 0


def test_a_combiner_is_not_called_for_one_value() -> None:
    def two_at_least(_key: str, values: Iterator[int]) -> list[int]:
        found = list(values)
        assert len(found) > 1
        return [sum(found)]

    pairs = [(f"{number:04}", 1) for number in range(600)] * 2
    out = filled([pairs[:900], pairs[900:]], memory_bytes=50_000, combine=two_at_least)
    assert out == [(f"{number:04}", 2) for number in range(600)]


@pytest.mark.parametrize("constant", [1, "x", None, (1, "a")])
def test_counting_restarts_after_a_spill(constant: Any) -> None:
    held = CombineBuffer(
        BufferSettings(by_hash(1), 10**6, 10**6, lambda: None), lambda _key, values: [len(list(values))]
    )
    held.fill("a.txt", [[("x", 0), ("x", constant)]], lambda _source, record: record)
    list(held.partitions())
    held.fill("a.txt", [[("k", constant)] * 5], lambda _source, record: record)
    assert held._counts == {"k": 4}  # besides the first


@any_way
def test_memory_is_counted_over_many_small_fills(how: str) -> None:
    files = Files()
    pairs = [(f"{number % 9}", f"{number:06}" * 9) for number in range(1_000)]
    filled([[pair] for pair in pairs], files=files, memory_bytes=40_000, **HOW[how])
    assert files.made > 0


@pytest.mark.parametrize(
    ("reducer", "state"),
    [
        (reducers.count, 2_500),
        (reducers.first, 3),
        (reducers.total, sum(range(3, 10_000, 4))),
        (reducers.maximum, 9_999),
    ],
)
def test_repeated_folds_without_a_spill_fold_each_value_once(reducer: Reducer, state: Any) -> None:
    files = Files()
    folding = Folding(
        lambda _key, values: reducer.fold(values), lambda _key, states: reducer.merge(states), reducer.step
    )
    pairs = [(number % 4, number) for number in range(10_000)]
    out = filled([pairs], files=files, memory_bytes=2**16, folding=folding)
    assert (len(out), out[3], files.made) == (4, (3, state), 0)


def test_keys_with_equal_counts_of_one_value_are_folded_once() -> None:
    folded = []

    def added(_key: str, values: list[int]) -> int:
        folded.append(len(values))
        return sum(values)

    pairs = [(f"{number:04}", 1) for number in (*range(600), *range(100), *range(600))]
    out = filled([pairs], folding=Folding(added, lambda _key, states: sum(states)))
    assert out == [(f"{number:04}", 3 if number < 100 else 2) for number in range(600)]
    assert sorted(folded) == [1, 2, 3]  # the first value is kept apart from those that are counted


@pytest.mark.parametrize(("reducer", "state"), [(reducers.total, 4_999_950_000), (reducers.maximum, 99_999)])
def test_different_ints_are_folded_at_once_and_take_the_memory_of_one(reducer: Reducer, state: int) -> None:
    files, folded = Files(), []

    def fold(_key: str, values: list[int]) -> Any:
        folded.append(len(values))
        return reducer.fold(values)

    folding = Folding(fold, lambda _key, states: reducer.merge(states), reducer.step)
    out = filled([[("k", number) for number in range(100_000)]], files=files, memory_bytes=2_000, folding=folding)
    assert (out, folded, files.made) == ([("k", state)], [], 0)


TOTALS = Folding(lambda _key, values: sum(values), lambda _key, states: sum(states), reducers.total.step)


@pytest.mark.parametrize(
    ("key", "words"), [("x" * 5000, "a key that takes"), (float("nan"), "NaN"), ((1.0, float("nan")), "NaN")]
)
def test_a_new_key_is_checked_even_if_ints_are_folded_at_once(key: Any, words: str) -> None:
    like = "a" if type(key) is str else 1.0 if type(key) is float else (1.0, 1.0)
    with pytest.raises(UserCodeError, match=words):
        filled([[(like, 1), (like, 2), (key, 3)]], value_bytes_max=1000, folding=TOTALS)


def test_states_of_many_keys_count_as_memory() -> None:
    files = Files()
    pairs = [(f"{number:05}", number) for number in range(3_000)]
    assert filled([pairs], files=files, memory_bytes=200_000, folding=TOTALS) == pairs
    assert files.made > 0


def test_a_bool_is_not_folded_as_an_int() -> None:
    out = filled([[("k", 1), ("k", 2), ("t", True)]], folding=TOTALS)
    assert [(key, type(value), value) for key, value in out] == [("k", int, 3), ("t", int, 1)]


def test_keys_without_values_after_the_combiner_take_no_memory() -> None:
    files = Files()
    pairs = [(f"{number // 2:05}", 1) for number in range(6_000)]
    assert filled([pairs], files=files, memory_bytes=700_000, combine=lambda _key, _values: []) == []
    assert files.made == 0


def test_an_int_keeps_its_position_among_equal_values_of_other_types() -> None:
    minimum = reducers.minimum
    folding = Folding(lambda _key, values: minimum.fold(values), lambda _key, states: minimum.merge(states), min)
    for came in ([2, 1, True, 1], [2, True, 1], [True, 2, 1], [2, 1.0, 1, True], [2, 3, 1, 1.0]):
        out = filled([[("k", value)] for value in came], folding=folding)
        assert [(type(one), one) for _, one in out] == [(type(min(came)), min(came))]


def test_spilled_states_are_merged_to_one() -> None:
    folding = Folding(lambda _key, values: sum(values), lambda _key, states: sum(states))
    pairs = [(f"{number % 500:05}", 1) for number in range(5_000)]
    files = Files()
    out = filled([pairs], files=files, memory_bytes=20_000, folding=folding)
    assert out == [(f"{number:05}", 10) for number in range(500)]
    assert files.made > 0


def broken() -> Iterator[int]:
    yield 1
    raise TransientError("the disk is away")


def swallowing(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    count = 0
    try:
        for _ in values:
            count += 1
    except Exception:  # noqa: BLE001, S110 - what users do
        pass
    yield key, count


def passing(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield key, sum(values)


@pytest.mark.parametrize("function", [swallowing, passing])
def test_an_internal_error_in_the_values_stays_one_even_if_the_function_catches_it(
    function: Callable[..., Any],
) -> None:
    code = UserCode(Functions(map=passing, reduce=function, combine=function))
    with pytest.raises(TransientError, match="the disk is away"):
        list(code.reduced([("a", TrackedValues(broken()))]))
    assert code.combine is not None
    with pytest.raises(TransientError, match="the disk is away"):
        list(code.combine("a", TrackedValues(broken())))


@pytest.mark.parametrize(("key", "own"), [(1, True), (1, 1.0), (1.0, 1), ("a", "b"), ((1,), (True, 2))])
def test_a_combiner_must_yield_its_own_key_with_its_own_type(key: Any, own: Any) -> None:
    code = UserCode(Functions(map=passing, reduce=passing, combine=lambda _key, _values: [(own, 1)]))
    assert code.combine is not None
    with pytest.raises(UserCodeError, match="must yield the key that it was called with"):
        list(code.combine(key, iter([1, 2])))
