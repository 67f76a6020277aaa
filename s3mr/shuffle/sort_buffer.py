"""Sort what map yields into partitions, within bounded memory. "Dean and Ghemawat 2004", sections 3.1 and 4.3.

When what is gathered fills the memory, the combiner makes it smaller; where that does not halve it, all of it goes to
a scratch file, sorted by partition and key. The values of a key keep the order in which the task emitted them, also
across spills.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, Self, TypeAlias

from s3mr import limits
from s3mr.shuffle.group_buffer import Combine, CombineBuffer, FoldBuffer, Folding
from s3mr.shuffle.key_types import Key
from s3mr.shuffle.merge import Scratch, SpilledRun, SpillFile, Watched, grouped, in_batches, merge_spilled
from s3mr.shuffle.pair_buffer import Batches, Map, MapBuffer, PairBuffer, Room, Stop
from s3mr.shuffle.partitioning import Partition
from s3mr.shuffle.value_types import Value

Partitions: TypeAlias = Iterator[tuple[int, Batches]]


class SortBuffer:
    """Takes in the pairs of one map task, and hands them back by partition and key.

    ``memory_bytes`` bounds what is held, by `check_value`'s estimate, ``value_bytes_max`` each key and value of it.
    ``combine`` is asked only for keys with more than one value, any number of times. With ``folding``, every value
    handed back is a state, one for each key.
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
        room = Room(partition, memory_bytes, value_bytes_max, self._make_room)
        self._held: MapBuffer
        if folding:
            self._held = FoldBuffer(room, folding)
            self._combine = lambda key, states: (folding.merge(key, list(states)),)
        else:
            self._held = CombineBuffer(room, combine) if combine else PairBuffer(room)
        self._spills: list[dict[int, SpilledRun]] = []
        self._files = ExitStack()

    @property
    def key_type(self) -> str | None:
        """The type of all keys, None while there are none."""
        return self._held.types.name

    @property
    def pairs(self) -> int:
        """How many pairs were taken in."""
        return self._held.pairs

    @property
    def combines(self) -> bool:
        """Whether fewer pairs may come out, or others, than were taken in."""
        return self._combine is not None

    @property
    def stop(self) -> Stop | None:
        """Where `fill` was when it raised."""
        return self._held.stop

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:
        """Take in the pairs that ``function(source, record)`` yields for each of ``records``.

        Whatever ``function`` raises passes through; `stop` says where that was.

        Raises:
            UserCodeError: what should be a pair is none, cannot be carried or is too large, or keys are of mixed types.
        """
        self._held.fill(source, records, function)

    def partitions(self) -> Partitions:
        """Yield each partition that has keys, in order, with its pairs in key order, those of a key together.

        A partition's pairs can be read until the next partition is asked for.
        """
        self._held.shrink()
        if not self._spills:
            yield from self._held.partitions()
            return
        self._spill()
        for partition in range(self._reducers):
            runs = [spill[partition] for spill in self._spills if partition in spill]
            if runs:
                yield partition, self._merged(runs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def _make_room(self) -> None:
        """Halve what is held by combining, or spill it."""
        self._held.shrink()
        if self._held.measure() > self._memory_bytes // 2:
            self._spill()

    def _spill(self) -> None:
        if not self._spills:
            file = SpillFile(self._scratch(), frame_bytes=self._frame_bytes)
            self._file = self._files.enter_context(file)
        self._spills.append({partition: self._file.write(pairs) for partition, pairs in self._held.partitions()})

    def _merged(self, runs: list[SpilledRun]) -> Batches:
        groups = merge_spilled(
            runs, memory_bytes=self._memory_bytes, frame_bytes=self._frame_bytes, scratch=self._scratch
        )
        if self._combine is None:
            return in_batches(groups)
        return self._combined(self._combine, groups)

    def _combined(self, combine: Combine, groups: Iterator[tuple[Key, list[Value]]]) -> Batches:
        for key, values in grouped(groups):
            first = next(values)
            second = next(values, self)
            combined = (first,) if second is self else combine(key, Watched(chain((first, second), values)))
            for value in combined:
                yield ((key, value),)
