"""Sort pairs by key in bounded memory: spill sorted runs to a scratch file, then do a k-way merge.

Map tasks sort the pairs of each partition, reduce tasks the pieces of one partition. The sort is stable: for equal
keys, values of an earlier run come first. The merge holds one frame of each run in memory, and works in several passes
if there are too many runs. So memory does not depend on the number of runs, on their sizes, or on the number of values
of a key. "Dean and Ghemawat 2004", section 3.1, points 4 and 5.
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
Batches: TypeAlias = Iterator[Sequence[Pair]]  # in key order
Group: TypeAlias = tuple[Key, Iterator[Value]]

_READ_BYTES: Final = 16 * 1024  # size of one read from a spilled run
_RUNS_MIN: Final = 2  # merge at least this many at once, even if their frames are large


class ExternalSort:
    """Keeps sorted runs of pairs by partition, and merges them. Call `close` at the end.

    A merge opens as many runs at once as ``memory_bytes`` allows, but at least two.
    """

    def __init__(self, *, memory_bytes: int, frame_bytes: int, scratch: Scratch) -> None:
        self.memory_bytes = memory_bytes
        self._frame_bytes = frame_bytes
        self._scratch = scratch
        self._spills: list[dict[int, _SpilledRun]] = []
        self._files = ExitStack()

    def close(self) -> None:
        """Close the files from ``scratch``."""
        self._files.close()

    @property
    def spilled(self) -> bool:
        """Whether any pairs are on disk."""
        return bool(self._spills)

    @property
    def partitions(self) -> list[int]:
        """The partitions that have pairs on disk, in order."""
        return sorted(set().union(*self._spills))

    def spill(self, partitions: Iterable[tuple[int, Batches]]) -> None:
        """Append a sorted run for each of ``partitions``."""
        if not self._spills:
            self._file = self._files.enter_context(_SpillFile(self._scratch(), frame_bytes=self._frame_bytes))
        self._spills.append({partition: self._file.write(batches) for partition, batches in partitions})

    def merge(self, partition: int) -> Iterator[Group]:
        """Yield each key of ``partition`` once, in increasing order, with an iterator over all its values.

        Read the values of a key before you ask for the next key.
        """
        for key, same in groupby(self._merge(self._runs(partition)), key=itemgetter(0)):
            yield key, TrackedValues(chain.from_iterable(map(itemgetter(1), same)))

    def merge_pairs(self, partition: int) -> Batches:
        """Yield the pairs of ``partition`` in key order."""
        return _in_batches(self._merge(self._runs(partition)))

    def _runs(self, partition: int) -> "list[_SpilledRun]":
        return [spill[partition] for spill in self._spills if partition in spill]

    def _merge(self, runs: "Sequence[_SpilledRun]") -> Iterator[tuple[Key, list[Value]]]:
        """Yield the groups of ``runs`` in key order, stably. A key can come several times in a row."""
        batches = _batches(runs, self.memory_bytes)
        if len(batches) <= 1:
            yield from _merge_at_once(runs)
            return
        with _SpillFile(self._scratch(), frame_bytes=self._frame_bytes) as file:
            yield from self._merge(
                [batch[0] if len(batch) == 1 else file.write(_in_batches(_merge_at_once(batch))) for batch in batches]
            )


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


@dataclass(frozen=True, slots=True)
class _SpilledRun:
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


class _SpillFile:
    """A scratch file that holds runs, one after another."""

    def __init__(self, file: BinaryIO, *, frame_bytes: int) -> None:
        self._file = file
        self._frame_bytes = frame_bytes
        self._stop = 0

    def write(self, batches: Iterable[Sequence[Pair]]) -> _SpilledRun:
        """Append the pairs of ``batches`` as one run. They must be in key order; they may come from spill files."""
        start = self._stop
        written: WrittenRun = frames.write_run(batches, self._append, frame_bytes=self._frame_bytes)
        return _SpilledRun(self._file, start, self._stop, written.frame_bytes_max)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _append(self, frame: bytes) -> None:
        self._file.seek(self._stop)
        self._file.write(frame)
        self._stop += len(frame)


def _batches(runs: Sequence[_SpilledRun], memory_bytes: int) -> list[list[_SpilledRun]]:
    """Divide ``runs`` into consecutive batches whose runs fit in memory together."""
    batches: list[list[_SpilledRun]] = []
    size_bytes = 0
    for run in runs:
        if batches and (len(batches[-1]) < _RUNS_MIN or size_bytes + run.open_bytes <= memory_bytes):
            batches[-1].append(run)
            size_bytes += run.open_bytes
        else:
            batches.append([run])
            size_bytes = run.open_bytes
    return batches


def _in_batches(groups: Iterable[tuple[Key, list[Value]]]) -> Iterator[list[Pair]]:
    """Yield the pairs of ``groups``, a list for each group."""
    for key, values in groups:
        yield [(key, value) for value in values]


def _merge_at_once(runs: Sequence[_SpilledRun]) -> Iterator[tuple[Key, list[Value]]]:
    return heapq.merge(*map(_groups, runs), key=itemgetter(0))


def _groups(run: _SpilledRun) -> Iterator[tuple[Key, list[Value]]]:
    for frame in run.read():
        yield from frame.groups()
        del frame  # frees it before the next one is decoded
