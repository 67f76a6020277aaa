"""Plan a job: divide its inputs into map tasks, and check that a job of that size can run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from s3mr import limits
from s3mr.errors import RequestError
from s3mr.model.job import Layout
from s3mr.model.plan import InputObject, MapTask, Split
from s3mr.options import RequestedLayout
from s3mr.quantities import format_size


class _Range(NamedTuple):
    object: InputObject
    start: int
    stop: int


def plan_splits(
    objects: Iterable[InputObject], *, split_size_bytes: int, splittable: Callable[[str], bool]
) -> Iterator[MapTask]:
    """Yield the map tasks that together read every byte of ``objects`` once, in the objects' order.

    A task reads at most ``split_size_bytes`` from at most `limits.TASK_OBJECTS_MAX` consecutive objects. If
    ``splittable(source)``, an object is split where a task is full, unless the task has almost no space left. Other
    objects are read whole.

    Raises:
        RequestError: there would be more than `limits.MAP_TASKS_MAX` tasks. Raised by the call, not while iterating.
    """
    if split_size_bytes < 1:
        raise RequestError(f"--split-size must be at least 1 byte, not {split_size_bytes}")
    inputs = tuple(objects)
    if not _fits(inputs, split_size_bytes, splittable):
        raise _too_many(inputs, split_size_bytes, splittable)
    return map(_map_task, _tasks(inputs, split_size_bytes, splittable))


def choose_split_size(input_bytes: int, *, workers: int, at_most: int) -> int:
    """Return the default split size: it gives each of ``workers`` the same number of map tasks.

    It is at most ``at_most`` plus `limits.CUT_BYTES_MIN`: a task takes that much more than its share, because a smaller
    remainder is not worth a task of its own.
    """
    rounds = max(-(-input_bytes // (workers * at_most)), 1)
    even_bytes = -(-input_bytes // (workers * rounds))
    return max(even_bytes + limits.CUT_BYTES_MIN, limits.SPLIT_SIZE_BYTES_MIN)


def choose_layout(requested: RequestedLayout, map_tasks: int, reducers: int) -> Layout:
    """Return the layout of intermediate objects. ``auto`` means one object per piece while there are few pieces."""
    if requested != "auto":
        return requested
    return "split" if map_tasks * reducers <= limits.SPLIT_LAYOUT_PIECES_MAX else "packed"


def choose_reducers(input_bytes: int, map_tasks: int, *, reducer_bytes: int, at_least: int, at_most: int) -> int:
    """Return the default number of reducers: one for every ``reducer_bytes`` of input.

    It is between ``at_least`` and ``at_most``, and lower if one level of shuffle cannot handle that many pieces.
    """
    wanted = max(at_least, -(-input_bytes // reducer_bytes))
    return max(1, min(wanted, at_most, limits.PIECES_MAX // max(1, map_tasks)))


def check_shape(map_tasks: int, reducers: int) -> None:
    """Refuse a shuffle that is too large for one level.

    Raises:
        RequestError: it is. The message says how many reducers or map tasks are possible.
    """
    if reducers < 1:
        raise RequestError(f"--reducers must be at least 1 for a job with a reduce function, not {reducers}")
    if reducers > limits.REDUCERS_MAX:
        raise RequestError(f"--reducers must be at most {limits.REDUCERS_MAX:,}, not {reducers:,}")
    if map_tasks * reducers > limits.PIECES_MAX:
        raise RequestError(
            f"the shuffle is too large: {map_tasks:,} map tasks times {reducers:,} reducers are more than "
            f"{limits.PIECES_MAX:,} pieces: use at most {limits.PIECES_MAX // map_tasks:,} reducers (--reducers), or "
            f"at most {limits.PIECES_MAX // reducers:,} map tasks (a larger --split-size)"
        )


def _map_task(ranges: Iterable[_Range]) -> MapTask:
    return MapTask(
        splits=tuple(
            Split(
                source=each.object.source,
                size_bytes=each.object.size_bytes,
                etag=each.object.etag,
                start=each.start,
                stop=each.stop,
            )
            for each in ranges
        )
    )


def _tasks(
    objects: Sequence[InputObject], split_size_bytes: int, splittable: Callable[[str], bool]
) -> Iterator[list[_Range]]:
    task: list[_Range] = []
    room_bytes = split_size_bytes
    cut_bytes_min = min(split_size_bytes, limits.CUT_BYTES_MIN)
    for each in objects:
        start, stop, splits = 0, each.size_bytes, splittable(each.source)
        while start < stop or not stop:
            fits = stop - start <= room_bytes
            cuts = not fits and splits and room_bytes >= cut_bytes_min
            if task and (len(task) == limits.TASK_OBJECTS_MAX or not (fits or cuts)):
                yield task
                task, room_bytes = [], split_size_bytes
                continue
            until = start + room_bytes if cuts else stop
            task.append(_Range(each, start, until))
            room_bytes -= until - start
            if not stop:
                break
            start = until
    if task:
        yield task


def _fits(objects: Sequence[InputObject], split_size_bytes: int, splittable: Callable[[str], bool]) -> bool:
    tasks = _tasks(objects, split_size_bytes, splittable)
    return sum(1 for _ in islice(tasks, limits.MAP_TASKS_MAX + 1)) <= limits.MAP_TASKS_MAX


def _too_many(objects: Sequence[InputObject], split_size_bytes: int, splittable: Callable[[str], bool]) -> RequestError:
    """Return the error, with a split size that is large enough: the requested one, doubled until it is."""
    asked = f"--split-size {format_size(split_size_bytes)} makes more than {limits.MAP_TASKS_MAX:,} map tasks"
    enough_bytes = split_size_bytes
    total_bytes = sum(each.size_bytes for each in objects)
    while enough_bytes < 2 * total_bytes:
        enough_bytes = _rounded_up(2 * enough_bytes)
        if _fits(objects, enough_bytes, splittable):
            return RequestError(f"{asked}: use --split-size {format_size(enough_bytes)}")
    return RequestError(
        f"{len(objects):,} input objects are too many for one job: run several jobs on parts of the input, or join "
        f"small objects first (a map task reads at most {limits.TASK_OBJECTS_MAX:,} objects)"
    )


def _rounded_up(size_bytes: int) -> int:
    """Return the next larger whole number of KiB, MiB or GiB: people read this size, and type it."""
    unit = max(unit for unit in (1, limits.KIB, limits.MIB, limits.GIB) if unit <= size_bytes)
    return -(-size_bytes // unit) * unit
