import io
import tempfile
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr.errors import InvariantError, UserCodeError
from s3mr.shuffle.frames import frame_bytes, write_run
from s3mr.shuffle.merge import merge_runs
from s3mr.shuffle.pair_buffer import FillError
from s3mr.shuffle.partitioning import by_hash
from s3mr.shuffle.sort_buffer import SortBuffer

MIB = 1024 * 1024
Pairs = list[tuple[Any, Any]]


class Scratch:
    """Creates temporary files and keeps track of them."""

    def __init__(self) -> None:
        self.files: list[io.BytesIO] = []

    def __call__(self) -> BinaryIO:
        self.files.append(io.BytesIO())
        return self.files[-1]


def sort(
    pairs: Iterable[Any],
    *,
    reducers: int,
    memory_bytes: int,
    combine: Callable[[Any, Iterator[Any]], Iterable[Any]] | None = None,
    scratch: Callable[[], BinaryIO] | None = None,
) -> dict[int, bytes]:
    """Return the piece of each non-empty partition."""
    pieces = {}
    with SortBuffer(
        partition=by_hash(reducers),
        combine=combine,
        memory_bytes=memory_bytes,
        frame_bytes=max(memory_bytes // 32, 300),
        scratch=scratch or Scratch(),
    ) as buffer:
        try:
            buffer.fill("a.txt", [pairs], lambda _source, record: record)
        except FillError as stopped:
            raise stopped.error from None
        for partition, batches in buffer.partitions():
            file = io.BytesIO()
            write_run(batches, file.write, frame_bytes=max(memory_bytes // 32, 300))
            pieces[partition] = file.getvalue()
    return pieces


def merge(
    pieces: Iterable[bytes], *, memory_bytes: int, scratch: Callable[[], BinaryIO] | None = None
) -> list[tuple[Any, list[Any]]]:
    runs = ([piece] for piece in pieces)
    merged = merge_runs(
        runs, memory_bytes=memory_bytes, frame_bytes=max(memory_bytes // 32, 300), scratch=scratch or Scratch()
    )
    return [(key, list(values)) for key, values in merged]


def oracle(tasks: Iterable[Pairs], reducers: int) -> dict[int, list[tuple[Any, list[Any]]]]:
    partition = by_hash(reducers)
    groups: dict[Any, list[Any]] = {}
    for pairs in tasks:
        for key, value in pairs:
            groups.setdefault(key, []).append(value)
    expected = defaultdict(list)
    for key in sorted(groups):
        expected[partition([key])[0]].append((key, groups[key]))
    return dict(expected)


kinds_of_keys = st.sampled_from(
    [
        st.text(max_size=2),
        st.binary(max_size=2),
        st.integers(-3, 3) | st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False),
        st.booleans(),
        st.tuples(st.text("ab", max_size=1), st.integers(0, 2)) | st.tuples(st.text("ab", max_size=1)),
    ]
)
jobs = kinds_of_keys.flatmap(
    lambda keys: st.lists(st.lists(st.tuples(keys, st.integers() | st.text(max_size=20)), max_size=60), max_size=6)
)


@given(jobs, st.integers(1, 64), st.sampled_from([500, 3000, 10**6]), st.sampled_from([500, 3000, 10**6]))
def test_equal_keys_are_grouped_in_order_with_their_values_in_order_of_emission(
    tasks: list[Pairs], reducers: int, map_memory: int, reduce_memory: int
) -> None:
    pieces = [sort(pairs, reducers=reducers, memory_bytes=map_memory) for pairs in tasks]
    merged = {
        partition: merge([piece[partition] for piece in pieces if partition in piece], memory_bytes=reduce_memory)
        for partition in range(reducers)
    }
    assert {partition: groups for partition, groups in merged.items() if groups} == oracle(tasks, reducers)


@given(
    st.lists(st.tuples(st.text("abc", max_size=2), st.integers(0, 9)), max_size=300),
    st.integers(1, 8),
    st.sampled_from([500, 3000, 10**6]),
)
def test_a_combiner_changes_sizes_but_not_sums(pairs: Pairs, reducers: int, memory_bytes: int) -> None:
    pieces = sort(pairs, reducers=reducers, memory_bytes=memory_bytes, combine=lambda _key, values: [sum(values)])
    for partition, groups in oracle([pairs], reducers).items():
        assert merge([pieces[partition]], memory_bytes=10**6) == [(key, [sum(values)]) for key, values in groups]


def test_a_combiner_that_reduces_the_data_keeps_the_buffer_in_memory() -> None:
    scratch = Scratch()
    pairs = ((f"k{number % 50}", 1) for number in range(20_000))
    sort(pairs, reducers=4, memory_bytes=60_000, combine=lambda _key, values: [sum(values)], scratch=scratch)
    assert scratch.files == []


def test_all_spills_share_one_file_and_it_is_closed_at_the_end() -> None:
    scratch = Scratch()
    sort(((number, number) for number in range(10_000)), reducers=3, memory_bytes=MIB, scratch=scratch)
    assert len(scratch.files) == 1
    assert scratch.files[0].closed


def test_a_combiner_may_drop_a_key() -> None:
    pairs = [("a", 1), ("a", 2), ("b", 3)]
    pieces = sort(pairs, reducers=1, memory_bytes=10**6, combine=lambda _key, _values: [])
    assert merge(pieces.values(), memory_bytes=10**6) == [("b", [3])]


def test_a_list_that_is_changed_after_its_yield_keeps_its_value() -> None:
    def pairs() -> Iterator[tuple[str, list[int]]]:
        seen: list[int] = []
        for number in range(3):
            seen.append(number)
            yield "k", seen

    pieces = sort(pairs(), reducers=1, memory_bytes=10**6)
    assert merge(pieces.values(), memory_bytes=10**6) == [("k", [[0], [0, 1], [0, 1, 2]])]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["ab"], "'ab'"),
        ([("a", 1, 2)], "tuple of 3"),
        ([None], "None"),
        ([object()], "type object"),
        ([("a", {1})], "sorted"),
        ([({}, 1)], "dict"),
        ([("a", 1), (1, 1)], "mixed types: str and int"),
        ([(1, 1), (True, 1)], "mixed types: int and bool"),
        ([((1,), 1), ((True,), 1)], "mixed types"),
        ([(1.0, 1), (float("nan"), 1)], "NaN"),
        ([((1.0,), 1), ((float("nan"),), 1)], "NaN"),
    ],
)
def test_an_object_that_is_not_a_pair_is_refused(pairs: list[Any], words: str) -> None:
    with pytest.raises(UserCodeError, match=words):
        sort(pairs, reducers=1, memory_bytes=10**6)


def test_merging_in_several_passes_keeps_the_order_of_values() -> None:
    tasks = [[(number % 7, (task, number)) for number in range(300)] for task in range(40)]
    pieces = [sort(pairs, reducers=1, memory_bytes=10**6)[0] for pairs in tasks]
    scratch = Scratch()
    merged = merge(pieces, memory_bytes=4000, scratch=scratch)
    assert merged == oracle(tasks, 1)[0]
    assert len(scratch.files) > 2
    assert all(file.closed for file in scratch.files)


@pytest.mark.parametrize("memory_bytes", [2000, 10**7])
def test_values_that_reduce_leaves_unread_do_not_reach_the_next_key(memory_bytes: int) -> None:
    piece = sort([(number % 5, number) for number in range(2000)], reducers=1, memory_bytes=10**7)[0]
    merged = merge_runs([[piece]] * 3, memory_bytes=memory_bytes, frame_bytes=500, scratch=Scratch())
    assert [(key, next(values)) for key, values in merged] == [(key, key) for key in range(5)]


def test_a_damaged_piece_stops_the_merge() -> None:
    piece = sort([("a", 1)], reducers=1, memory_bytes=10**6)[0]
    with pytest.raises(InvariantError):
        merge([piece[:-1]], memory_bytes=10**6)


def peak_bytes(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BUDGET = MIB


def words(count: int) -> Iterator[tuple[str, str]]:
    return ((f"key-{number * 7919 % 8_000}", f"value-{number}") for number in range(count))


def giant(count: int) -> Iterator[tuple[str, str]]:
    return (("key", f"a longer value, the {number}th") for number in range(count))


@pytest.mark.parametrize("pairs", [words, giant])
def test_memory_is_bounded_in_map_and_reduce_for_any_amount_of_data(
    pairs: Callable[[int], Iterator[tuple[str, str]]],
) -> None:
    frame = frame_bytes(BUDGET)
    with tempfile.TemporaryFile() as piece:

        def map_side() -> None:
            with SortBuffer(
                partition=by_hash(1),
                combine=None,
                memory_bytes=BUDGET // 2,
                frame_bytes=frame,
                scratch=tempfile.TemporaryFile,
            ) as buffer:
                buffer.fill("a.txt", [20_000], lambda _source, count: pairs(count))
                for _, batches in buffer.partitions():
                    write_run(batches, piece.write, frame_bytes=frame)

        def blocks() -> Iterator[bytes]:
            piece.seek(0)
            return iter(lambda: piece.read(10_000), b"")

        def reduce_side() -> None:
            runs = (blocks() for _ in range(2))
            merged = merge_runs(runs, memory_bytes=BUDGET // 2, frame_bytes=frame, scratch=tempfile.TemporaryFile)
            assert sum(1 for _, values in merged for _ in values) == 40_000

        assert peak_bytes(map_side) < BUDGET
        assert peak_bytes(reduce_side) < BUDGET
