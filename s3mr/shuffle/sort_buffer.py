"""Sort the pairs of map into partitions, in bounded memory. "Dean and Ghemawat 2004", sections 3.1 and 4.3.

When memory is full, the combiner shrinks the pairs. If that does not halve them, all of them are spilled to a scratch
file, sorted by partition and key. The values of a key keep the order in which map yielded them, also across spills.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, Self, TypeAlias

from s3mr import limits
from s3mr.shuffle.external_sort import Batches, ExternalSort, Group, Scratch, TrackedValues
from s3mr.shuffle.group_buffer import Combine, CombineBuffer, FoldBuffer, Folding
from s3mr.shuffle.pair_buffer import BufferSettings, Map, MapBuffer, PairBuffer
from s3mr.shuffle.partitioning import Partition

_NO_VALUE: Final = object()

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
        partition: Partition,
        combine: Combine | None,
        memory_bytes: int,
        frame_bytes: int,
        scratch: Scratch,
        value_bytes_max: int = limits.PIECE_BYTES_MAX,
        folding: Folding | None = None,
    ) -> None:
        self._combine = combine
        self._sort = ExternalSort(memory_bytes=memory_bytes, frame_bytes=frame_bytes, scratch=scratch)
        settings = BufferSettings(partition, memory_bytes, value_bytes_max, self._combine_or_spill)
        self._buffer: MapBuffer
        if folding:
            self._buffer = FoldBuffer(settings, folding)
            self._combine = lambda key, states: (folding.merge(key, list(states)),)
        else:
            self._buffer = CombineBuffer(settings, combine) if combine else PairBuffer(settings)

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

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:
        """Add the pairs that ``function(source, record)`` yields for each of ``records``.

        Raises:
            FillError: an error stopped it: of ``function``, of a pair that cannot be added, of combining or spilling.
        """
        self._buffer.fill(source, records, function)

    def partitions(self) -> Partitions:
        """Yield each partition that has keys, in order, with its pairs in key order.

        Read the pairs of a partition before you ask for the next one.
        """
        self._buffer.shrink()
        if not self._sort.spilled:
            yield from self._buffer.partitions()
            return
        self._sort.spill(self._buffer.partitions())
        for partition in self._sort.partitions:
            yield partition, self._merge(partition)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sort.close()

    def _combine_or_spill(self) -> None:
        """Free at least half of the memory."""
        self._buffer.shrink()
        if self._buffer.measure() > self._sort.memory_bytes // 2:
            self._sort.spill(self._buffer.partitions())

    def _merge(self, partition: int) -> Batches:
        if self._combine is None:
            return self._sort.merge_pairs(partition)
        return _combine_groups(self._combine, self._sort.merge(partition))


def _combine_groups(combine: Combine, groups: Iterator[Group]) -> Batches:
    for key, values in groups:
        first = next(values)
        second = next(values, _NO_VALUE)
        combined = (first,) if second is _NO_VALUE else combine(key, TrackedValues(chain((first, second), values)))
        for value in combined:
            yield ((key, value),)
