import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.model.plan import InputObject, MapTask, Split
from s3mr.model.plan_codec import POINTER_BYTES, decode_map_task, decode_plan, decode_pointer, encode_plan
from s3mr.policy.planning import check_shape, choose_layout, choose_split_size, plan_splits
from s3mr.quantities import format_size, parse_size

sizes = st.lists(st.integers(0, 40), max_size=30)


def objects_of(sizes: list[int], *, suffix: str = "") -> list[InputObject]:
    return [InputObject(f"file-{number}{suffix}", size, f"tag-{number}") for number, size in enumerate(sizes)]


def always(_source: str) -> bool:
    return True


def never(_source: str) -> bool:
    return False


def task_bytes(task: MapTask) -> int:
    return sum(split.stop - split.start for split in task.splits)


@given(sizes, st.integers(1, 50), st.booleans())
def test_the_tasks_read_every_byte_of_every_object_once_and_in_order(sizes: list[int], size: int, splits: bool) -> None:  # noqa: FBT001
    objects = objects_of(sizes)
    tasks = list(plan_splits(objects, split_size_bytes=size, splittable=always if splits else never))
    planned = [split for task in tasks for split in task.splits]
    covered = [(s.source, s.etag, byte) for s in planned for byte in range(s.start, s.stop)]
    assert covered == [(each.source, each.etag, byte) for each in objects for byte in range(each.size_bytes)]
    assert list(dict.fromkeys(split.source for split in planned)) == [each.source for each in objects]


@given(sizes, st.integers(1, 50))
def test_a_task_is_full_but_never_over_the_split_size(sizes: list[int], size: int) -> None:
    tasks = list(plan_splits(objects_of(sizes), split_size_bytes=size, splittable=always))
    assert all(task.splits and task_bytes(task) <= size for task in tasks)
    for task, following in pairwise(tasks):
        first = following.splits[0]
        assert task_bytes(task) + first.stop - first.start > size


@given(
    st.lists(st.integers(0, 300 * limits.MIB), min_size=1, max_size=9),
    st.integers(1, 16),
    st.sampled_from([limits.SPLIT_SIZE_BYTES, limits.LOCAL_COMBINED_SPLIT_BYTES]),
)
def test_without_a_split_size_each_worker_has_the_same_amount_of_work(
    sizes: list[int], workers: int, at_most: int
) -> None:
    total_bytes = sum(sizes)
    size_bytes = choose_split_size(total_bytes, workers=workers, at_most=at_most)
    assert limits.SPLIT_SIZE_BYTES_MIN <= size_bytes <= at_most + limits.CUT_BYTES_MIN
    tasks = [task_bytes(one) for one in plan_splits(objects_of(sizes), split_size_bytes=size_bytes, splittable=always)]
    assert sum(tasks) == total_bytes
    assert all(one > size_bytes - limits.CUT_BYTES_MIN for one in tasks[:-1])
    if total_bytes >= workers * limits.SPLIT_SIZE_BYTES_MIN:
        rounds = -(-len(tasks) // workers)
        assert max(tasks) * rounds <= total_bytes / workers + 2 * rounds * limits.CUT_BYTES_MIN


def test_a_quarter_of_a_gibibyte_is_two_full_tasks_for_each_of_two_workers() -> None:
    size_bytes = choose_split_size(256 * limits.MIB, workers=2, at_most=64 * limits.MIB)
    tasks = plan_splits(objects_of([32 * limits.MIB] * 8), split_size_bytes=size_bytes, splittable=always)
    assert len(list(tasks)) == 4


def test_a_large_object_fills_up_the_task_of_the_object_before() -> None:
    size = 3 * limits.MIB
    tasks = plan_splits(objects_of([4 * limits.MIB, 5 * limits.MIB]), split_size_bytes=size, splittable=always)
    assert [[(each.start, each.stop) for each in task.splits] for task in tasks] == [
        [(0, size)],
        [(size, 4 * limits.MIB), (0, 2 * limits.MIB)],
        [(2 * limits.MIB, 5 * limits.MIB)],
    ]


def test_an_object_that_cannot_be_split_is_one_task_of_any_size() -> None:
    tasks = list(plan_splits(objects_of([5, 1000, 5]), split_size_bytes=10, splittable=never))
    assert [[split.size_bytes for split in task.splits] for task in tasks] == [[5], [1000], [5]]


def test_a_task_reads_at_most_a_thousand_objects() -> None:
    tasks = list(plan_splits(objects_of([0] * 2001), split_size_bytes=10, splittable=always))
    assert [len(task.splits) for task in tasks] == [1000, 1000, 1]


@pytest.mark.parametrize(
    ("size", "asked"),
    [(10**6, 1), (limits.GIB, 1000), (500_000 * limits.MIB, 3 * limits.MIB + 1)],
)
def test_too_many_tasks_are_refused_with_a_sufficient_split_size(size: int, asked: int) -> None:
    objects = objects_of([size, 7])
    with pytest.raises(RequestError, match=r"makes more than 100,000 map tasks: use --split-size") as refused:
        plan_splits(objects, split_size_bytes=asked, splittable=always)
    advised = parse_size(str(refused.value).rsplit(" ", 1)[1])
    assert size // advised + 2 <= limits.MAP_TASKS_MAX
    plan_splits(objects, split_size_bytes=advised, splittable=always)
    with pytest.raises(RequestError, match="map tasks"):
        plan_splits(objects, split_size_bytes=advised // 4, splittable=always)


def test_each_pass_asks_once_per_source_whether_it_can_be_split() -> None:
    asked = []

    def splittable(source: str) -> bool:
        asked.append(source)
        return True

    tasks = plan_splits(objects_of([50_000]), split_size_bytes=1, splittable=splittable)
    assert (len(list(tasks)), len(asked)) == (50_000, 2)


def test_too_many_whole_objects_are_refused_with_a_split_size_that_packs_them() -> None:
    objects = objects_of([100_000_000] * (limits.MAP_TASKS_MAX + 1))
    with pytest.raises(RequestError, match=r"use --split-size \w+$") as refused:
        plan_splits(objects, split_size_bytes=100_000_000, splittable=never)
    advised = parse_size(str(refused.value).rsplit(" ", 1)[1])
    assert advised >= 200_000_000
    plan_splits(objects, split_size_bytes=advised, splittable=never)


def test_a_split_size_below_one_byte_is_refused() -> None:
    with pytest.raises(RequestError, match="--split-size"):
        plan_splits([], split_size_bytes=0, splittable=always)


def test_auto_writes_one_object_per_piece_if_there_are_few_and_packs_otherwise() -> None:
    assert choose_layout("auto", 16, 16) == "split"
    assert choose_layout("auto", 257, 1) == "packed"
    assert choose_layout("split", 1000, 1000) == "split"
    assert choose_layout("packed", 1, 1) == "packed"


@pytest.mark.parametrize(("map_tasks", "reducers"), [(1, 1), (100_000, 100), (1_000, 10_000)])
def test_a_shuffle_within_the_limits_is_accepted(map_tasks: int, reducers: int) -> None:
    check_shape(map_tasks, reducers)


@pytest.mark.parametrize("reducers", [0, -1, limits.REDUCERS_MAX + 1])
def test_an_invalid_number_of_reducers_is_refused(reducers: int) -> None:
    with pytest.raises(RequestError, match="--reducers"):
        check_shape(1, reducers)


def test_too_many_pieces_are_refused_with_sufficient_numbers() -> None:
    with pytest.raises(RequestError, match="reducers") as refused:
        check_shape(99_999, 3_000)
    reducers, map_tasks = (int(n.replace(",", "")) for n in re.findall(r"at most ([\d,]+)", str(refused.value)))
    check_shape(99_999, reducers)
    check_shape(map_tasks, 3_000)
    for shape in ((99_999, reducers + 1), (map_tasks + 1, 3_000)):
        with pytest.raises(RequestError):
            check_shape(*shape)


@given(
    st.lists(
        st.lists(st.tuples(st.text() | st.just("caf\udce9.txt"), st.integers(1, 99)), min_size=1, max_size=3),
        max_size=4,
    )
)
def test_each_task_can_be_read_from_the_plan_by_its_pointer(shape: list[list[tuple[str, int]]]) -> None:
    tasks = [
        MapTask(splits=tuple(Split(source=s, size_bytes=n, etag='"x"', start=0, stop=n) for s, n in splits))
        for splits in shape
    ]
    written = bytearray()
    summary = encode_plan(iter(tasks), written.extend)
    assert summary.map_tasks == len(tasks)
    assert len(written) == summary.index_offset_bytes + POINTER_BYTES * len(tasks)
    for number, task in enumerate(tasks):
        at = summary.index_offset_bytes + POINTER_BYTES * number
        pointer = decode_pointer(bytes(written[at : at + POINTER_BYTES]))
        segment = bytes(written[pointer.offset_bytes : pointer.offset_bytes + pointer.length_bytes])
        assert decode_map_task(segment, pointer) == task
    segments, index = bytes(written[: summary.index_offset_bytes]), bytes(written[summary.index_offset_bytes :])
    blocks = [segments[at : at + 50] for at in range(0, len(segments), 50)]
    assert list(decode_plan(index, blocks)) == tasks


def test_a_damaged_plan_is_refused() -> None:
    written = bytearray()
    split = Split(source="a", size_bytes=1, etag="x", start=0, stop=1)
    summary = encode_plan([MapTask(splits=(split,))], written.extend)
    pointer = decode_pointer(bytes(written[summary.index_offset_bytes :]))
    segment = bytes(written[: pointer.length_bytes])
    for damaged in (segment[:-1], segment.replace(b"a", b"b"), b""):
        with pytest.raises(InvariantError, match="the plan is damaged"):
            decode_map_task(damaged, pointer)
    with pytest.raises(InvariantError, match="16 bytes"):
        decode_pointer(b"short")
    with pytest.raises(InvariantError, match="the plan is damaged"):
        list(decode_plan(bytes(written[summary.index_offset_bytes :]), [segment[:-1]]))


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("65536", 65536), ("64KiB", 65536), ("64MiB", 2**26), ("1.5GiB", 3 * 2**29), ("0.5KiB", 512)],
)
def test_sizes_are_bytes_or_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["0", "-1", "64MB", "abc", "", "1.5", "0.3KiB", "KiB", "1e3", "٣", "1 TiB", "0GiB", "1k"]
)
def test_an_invalid_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(RequestError, match="KiB, MiB or GiB"):
        parse_size(text)


@given(st.integers(1, 2**50))
def test_a_size_is_shown_in_a_valid_form_and_rounded(size: int) -> None:
    unit = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(format_size(size)[-3:-2], 1)
    number = float(format_size(size).removesuffix("KiB").removesuffix("MiB").removesuffix("GiB"))
    assert abs(number * unit - size) <= unit * 0.051


def test_a_whole_size_is_shown_exactly() -> None:
    assert [format_size(n) for n in (0, 1, 1023, 1024, 2**26, 3 * 2**30)] == ["0", "1", "1023", "1KiB", "64MiB", "3GiB"]
    assert format_size(1_234_567) == "1.2MiB"
