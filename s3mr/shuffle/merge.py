"""Merge sorted runs with an external sort. It is stable: for equal keys, values of an earlier run come first.

It collects runs in memory while they fit. When memory is full, it spills them to a scratch file as one longer run. At
the end it does a k-way merge of the spilled runs, with one frame of each in memory, and in several passes if there are
too many. So memory does not depend on the number of runs, on their sizes, or on the number of values of a key.
"Dean and Ghemawat 2004", section 3.1, point 5.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import BinaryIO, Final, Self, TypeAlias

from s3mr.shuffle import frames
from s3mr.shuffle.frames import Frame, Pair, WrittenRun
from s3mr.shuffle.key_types import Key
from s3mr.shuffle.value_types import Value

Scratch: TypeAlias = Callable[[], BinaryIO]  # returns a new, empty, anonymous temporary file
Group: TypeAlias = tuple[Key, Iterator[Value]]

_key: Final = itemgetter(0)
_value: Final = itemgetter(1)
_READ_BYTES: Final = 16 * 1024  # size of one read from a spilled run
_RUNS_MIN: Final = 2  # merge at least this many at once, even if their frames are large


@dataclass(frozen=True, slots=True)
class SpilledRun:
    """A run in the bytes ``[start, stop)`` of a scratch file."""

    file: BinaryIO
    start: int
    stop: int
    frame_bytes_max: int

    @property
    def open_bytes(self) -> int:
        """Memory needed to read this run: a decoded frame, and the blocks of the next one."""
        return self.frame_bytes_max + 4 * _READ_BYTES

    def read(self) -> Iterator[Frame]:
        return frames.read_run(self._blocks())

    def _blocks(self) -> Iterator[bytes]:
        for at in range(self.start, self.stop, _READ_BYTES):
            self.file.seek(at)
            yield self.file.read(min(_READ_BYTES, self.stop - at))


class SpillFile:
    """A scratch file that holds runs, one after another."""

    def __init__(self, file: BinaryIO, *, frame_bytes: int) -> None:
        self._file = file
        self._frame_bytes = frame_bytes
        self._stop = 0

    def write(self, batches: Iterable[Sequence[Pair]]) -> SpilledRun:
        """Append the pairs of ``batches`` as one run. They must be in key order; they may come from spill files."""
        start = self._stop
        written: WrittenRun = frames.write_run(batches, self._append, frame_bytes=self._frame_bytes)
        return SpilledRun(self._file, start, self._stop, written.frame_bytes_max)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _append(self, frame: bytes) -> None:
        self._file.seek(self._stop)
        self._file.write(frame)
        self._stop += len(frame)


def merge_runs(
    runs: Iterable[Iterable[bytes]], *, memory_bytes: int, frame_bytes: int, scratch: Scratch
) -> Iterator[Group]:
    """Yield each key of ``runs`` once, in increasing order, with an iterator over all its values.

    Reads ``runs`` one after another, each to its end, before it yields the first key. Read the values of a key before
    you ask for the next key. Uses at most ``memory_bytes``, plus one decoded frame. Closes its files from ``scratch``
    when the generator ends.

    Raises:
        InvariantError: a run is damaged.
        RequestError: a key with one of its values is too large for a frame.
    """
    pairs: list[Pair] = []
    size_bytes = 0
    spilled: list[SpilledRun] = []
    with ExitStack() as files:
        for frame in chain.from_iterable(map(frames.read_run, runs)):
            pairs += frame.pairs()
            size_bytes += frame.size_bytes
            del frame  # a reference would keep its pairs in memory after they are spilled
            if size_bytes > memory_bytes:
                if not spilled:
                    file = files.enter_context(SpillFile(scratch(), frame_bytes=frame_bytes))
                pairs.sort(key=_key)
                spilled.append(file.write((pairs,)))
                pairs, size_bytes = [], 0
        pairs.sort(key=_key)
        if not spilled:
            for key, same in groupby(pairs, key=_key):
                yield key, map(_value, same)
            return
        spilled.append(file.write((pairs,)))
        pairs.clear()
        merged = merge_spilled(spilled, memory_bytes=memory_bytes, frame_bytes=frame_bytes, scratch=scratch)
        yield from grouped(merged)


def merge_spilled(
    runs: Sequence[SpilledRun], *, memory_bytes: int, frame_bytes: int, scratch: Scratch
) -> Iterator[tuple[Key, list[Value]]]:
    """Yield the groups of ``runs`` in key order, stably. A key can come several times in a row.

    Opens as many runs at once as ``memory_bytes`` allows, but at least two.
    """
    batches = _batches(runs, memory_bytes)
    if len(batches) <= 1:
        yield from _merge_at_once(runs)
        return
    with SpillFile(scratch(), frame_bytes=frame_bytes) as file:
        merged = [batch[0] if len(batch) == 1 else file.write(in_batches(_merge_at_once(batch))) for batch in batches]
        yield from merge_spilled(merged, memory_bytes=memory_bytes, frame_bytes=frame_bytes, scratch=scratch)


def grouped(groups: Iterator[tuple[Key, list[Value]]]) -> Iterator[Group]:
    """Join consecutive groups of the same key. Read the values of a key before you ask for the next key."""
    for key, same in groupby(groups, key=_key):
        yield key, TrackedValues(chain.from_iterable(map(_value, same)))


def in_batches(groups: Iterable[tuple[Key, list[Value]]]) -> Iterator[list[Pair]]:
    """Yield the pairs of ``groups``, a list for each group."""
    for key, values in groups:
        yield [(key, value) for value in values]


class TrackedValues:
    """Values read from a file, on their way to a user's function.

    ``error`` is the error that interrupted them. It is kept because the function may have swallowed it.
    """

    def __init__(self, values: Iterator[Value]) -> None:
        self.error: BaseException | None = None
        self._values = self._track(values)

    def __iter__(self) -> Iterator[Value]:
        return self._values  # faster: a loop does not call `__next__` for each value

    def __next__(self) -> Value:
        return next(self._values)

    def _track(self, values: Iterator[Value]) -> Iterator[Value]:
        try:
            yield from values
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise


def _batches(runs: Sequence[SpilledRun], memory_bytes: int) -> list[list[SpilledRun]]:
    """Divide ``runs`` into consecutive batches whose runs fit in memory together."""
    batches: list[list[SpilledRun]] = []
    size_bytes = 0
    for run in runs:
        if batches and (len(batches[-1]) < _RUNS_MIN or size_bytes + run.open_bytes <= memory_bytes):
            batches[-1].append(run)
            size_bytes += run.open_bytes
        else:
            batches.append([run])
            size_bytes = run.open_bytes
    return batches


def _merge_at_once(runs: Sequence[SpilledRun]) -> Iterator[tuple[Key, list[Value]]]:
    return heapq.merge(*map(_groups, runs), key=_key)


def _groups(run: SpilledRun) -> Iterator[tuple[Key, list[Value]]]:
    for frame in run.read():
        yield from frame.groups()
        del frame  # frees it before the next one is decoded
