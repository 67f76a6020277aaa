"""Sort the pairs of map into partitions, in bounded memory. "Dean and Ghemawat 2004", sections 3.1 and 4.3.

When memory is full, the combiner shrinks the pairs. If that does not halve them, all of them are spilled to a scratch
file, sorted by partition and key. The values of a key keep the order in which map yielded them, also across spills.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, Self, TypeAlias

from s3mr import limits
from s3mr.shuffle.group_buffer import Combine, CombineBuffer, FoldBuffer, Folding
from s3mr.shuffle.key_types import Key
from s3mr.shuffle.merge import Scratch, SpilledRun, SpillFile, TrackedValues, grouped, in_batches, merge_spilled
from s3mr.shuffle.pair_buffer import Batches, BufferSettings, Map, MapBuffer, PairBuffer, Stop
from s3mr.shuffle.partitioning import Partition
from s3mr.shuffle.value_types import Value

Partitions: TypeAlias = Iterator[tuple[int, Batches]]


class SortBuffer:
    """Collects the pairs of one map task, and returns them by partition and key.

    ``memory_bytes`` bounds all pairs in memory, ``value_bytes_max`` each key and value, as `check_value` estimates
    them. ``combine`` is called any number of times, and only for keys with more than one value. With ``folding``, each
    returned value is a state: one per key.
    """

    def __init__(
        self,
        *,
        reducers: int,
        partition: Partition,
        combine: Combine | None,
        memory_bytes: int,
        frame_bytes: int,
        scratch: Scratch,
        value_bytes_max: int = limits.PIECE_BYTES_MAX,
        folding: Folding | None = None,
    ) -> None:
        self._reducers = reducers
        self._combine = combine
        self._memory_bytes = memory_bytes
        self._frame_bytes = frame_bytes
        self._scratch = scratch
        settings = BufferSettings(partition, memory_bytes, value_bytes_max, self._combine_or_spill)
        self._buffer: MapBuffer
        if folding:
            self._buffer = FoldBuffer(settings, folding)
            self._combine = lambda key, states: (folding.merge(key, list(states)),)
        else:
            self._buffer = CombineBuffer(settings, combine) if combine else PairBuffer(settings)
        self._spills: list[dict[int, SpilledRun]] = []
        self._files = ExitStack()

    @property
    def key_type(self) -> str | None:
        """The type of all keys; None if there are none."""
        return self._buffer.types.name

    @property
    def pairs(self) -> int:
        """How many pairs were added."""
        return self._buffer.pairs

    @property
    def combines(self) -> bool:
        """Whether the returned pairs can differ from the added ones, in number or value."""
        return self._combine is not None

    @property
    def stop(self) -> Stop | None:
        """Where `fill` was when it raised."""
        return self._buffer.stop

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:
        """Add the pairs that ``function(source, record)`` yields for each of ``records``.

        An exception from ``function`` passes through; `stop` says where it was raised.

        Raises:
            UserCodeError: a yielded object is not a pair, cannot be serialized or is too large, or keys have mixed
                types.
        """
        self._buffer.fill(source, records, function)

    def partitions(self) -> Partitions:
        """Yield each partition that has keys, in order, with its pairs in key order.

        Read the pairs of a partition before you ask for the next one.
        """
        self._buffer.shrink()
        if not self._spills:
            yield from self._buffer.partitions()
            return
        self._spill()
        for partition in range(self._reducers):
            runs = [spill[partition] for spill in self._spills if partition in spill]
            if runs:
                yield partition, self._merge(runs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def _combine_or_spill(self) -> None:
        """Free at least half of the memory."""
        self._buffer.shrink()
        if self._buffer.measure() > self._memory_bytes // 2:
            self._spill()

    def _spill(self) -> None:
        if not self._spills:
            file = SpillFile(self._scratch(), frame_bytes=self._frame_bytes)
            self._file = self._files.enter_context(file)
        self._spills.append({partition: self._file.write(pairs) for partition, pairs in self._buffer.partitions()})

    def _merge(self, runs: list[SpilledRun]) -> Batches:
        groups = merge_spilled(
            runs, memory_bytes=self._memory_bytes, frame_bytes=self._frame_bytes, scratch=self._scratch
        )
        if self._combine is None:
            return in_batches(groups)
        return self._combine_groups(self._combine, groups)

    def _combine_groups(self, combine: Combine, groups: Iterator[tuple[Key, list[Value]]]) -> Batches:
        for key, values in grouped(groups):
            first = next(values)
            second = next(values, self)
            combined = (first,) if second is self else combine(key, TrackedValues(chain((first, second), values)))
            for value in combined:
                yield ((key, value),)
