"""Sort what map yields into partitions, within bounded memory. "Dean and Ghemawat 2004", sections 3.1 and 4.3.

Pairs are gathered by key. When the buffer is full, the combiner makes it smaller; where that does not halve it,
all of it goes to a scratch file, sorted by partition and key. The values of a key keep the order in which the
task emitted them, also across spills.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from typing import Any, Final, Self, TypeAlias

from s3mr import limits
from s3mr.errors import UserCodeError
from s3mr.model.sizes import format_size
from s3mr.shuffle.frames import GROUP_BYTES
from s3mr.shuffle.keys import Key, KeyTypes
from s3mr.shuffle.merging import Group, Scratch, SpilledRun, SpillFile, grouped, merge_spilled
from s3mr.shuffle.values import CONTAINERS, LEAVES, Value, check_value, column_bytes, snapshot

Combine: TypeAlias = Callable[[Key, Iterator[Value]], Iterable[Value]]  # yields checked values of its own
Partitions: TypeAlias = Iterator[tuple[int, Iterator[tuple[Key, Iterable[Value]]]]]

_INT_BYTES: Final = check_value(0)
_WORD: Final = 2**63


class SortBuffer:
    """Gathers the pairs of one map task, and hands them back by partition and key.

    ``memory_bytes`` bounds what is held, by `check_value`'s estimate, ``value_bytes_max`` each key and value of it.
    ``combine`` is asked only for keys with more than one value, any number of times.
    """

    def __init__(
        self,
        *,
        reducers: int,
        partition: Callable[[Key], int],
        combine: Combine | None,
        memory_bytes: int,
        frame_bytes: int,
        scratch: Scratch,
        value_bytes_max: int = limits.PIECE_BYTES_MAX,
    ) -> None:
        self._value_bytes_max = value_bytes_max
        self._reducers = reducers
        self._partition = partition
        self._combine = combine
        self._memory_bytes = memory_bytes
        self._frame_bytes = frame_bytes
        self._scratch = scratch
        self._groups: dict[Key, list[Value]] = {}
        self._size_bytes = 0
        self._types = KeyTypes()
        self._spills: list[dict[int, SpilledRun]] = []
        self._files = ExitStack()
        self.pairs = 0

    @property
    def key_type(self) -> str | None:
        """The type of all keys, None while there are none."""
        return self._types.name

    def fill(self, pairs: Iterable[Any]) -> None:
        """Take all ``pairs`` in.

        Raises:
            UserCodeError: one is no pair of a key and a value that can be carried, or is too large; or keys are of
                mixed types.
        """
        # Map's inner loop: a call, or an attribute, costs as much here as all the rest.
        groups, size_bytes, scalar = self._groups, self._size_bytes, self._types.scalar
        pairs_count, value_bytes_max = 0, self._value_bytes_max
        for pair in pairs:
            if (type(pair) is not tuple and type(pair) is not list) or len(pair) != 2:
                raise no_pair("map", pair)
            key, value = pair
            if type(key) is not scalar:
                self._admit(key)
                scalar = self._types.scalar
            kind = type(value)
            if kind is int and -_WORD <= value < _WORD:
                size_bytes += _INT_BYTES
            else:
                value_bytes = check_value(value)
                if value_bytes > value_bytes_max:
                    raise _too_large("value", value_bytes, value_bytes_max)
                size_bytes += value_bytes
                if kind in CONTAINERS:
                    value = snapshot(value)
            values = groups.get(key)
            if values is None:
                groups[key] = [value]
                size_bytes += self._new_key_bytes(key)
            else:
                values.append(value)
            pairs_count += 1
            if size_bytes > self._memory_bytes:
                size_bytes = self._make_room()
                groups = self._groups
        self._size_bytes = size_bytes
        self.pairs += pairs_count

    def partitions(self) -> Partitions:
        """Yield each partition that has keys, in order, with its groups in key order, each key once.

        A partition's groups can be read until the next partition is asked for; the values of a key, until the
        next key is.
        """
        self._combine_groups()
        if not self._spills:
            for partition, keys in self._sorted_keys():
                yield partition, self._drained(keys)
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

    def _admit(self, key: Key) -> None:
        """Take in a key that is not of the scalar type seen so far: a tuple, or the first."""
        if type(key) is not tuple or tuple(map(type, key)) not in self._types.shapes:
            self._types.admit(key)

    def _new_key_bytes(self, key: Key) -> int:
        if self._types.floats:
            self._types.admit(key)  # it may hold NaN
        key_bytes = check_value(key)
        if key_bytes > self._value_bytes_max:
            raise _too_large("key", key_bytes, self._value_bytes_max)
        return key_bytes + GROUP_BYTES

    def _make_room(self) -> int:
        """Empty the buffer, or halve it by combining; return how much memory it still takes."""
        if self._combine is not None:
            size_bytes = self._combine_groups()
            if size_bytes <= self._memory_bytes // 2:
                return size_bytes
        self._spill()
        return 0

    def _combine_groups(self) -> int:
        """Combine the values of each key in place; return how much memory they then take."""
        if self._combine is None:
            return 0
        groups = self._groups
        for key, values in groups.items():
            if len(values) > 1:
                groups[key] = list(self._combine(key, iter(values)))
        self._groups = groups = {key: values for key, values in groups.items() if values}
        values_bytes = column_bytes(list(chain.from_iterable(groups.values())))
        return values_bytes + column_bytes(groups.keys()) + len(groups) * GROUP_BYTES

    def _spill(self) -> None:
        if not self._spills:
            file = SpillFile(self._scratch(), frame_bytes=self._frame_bytes)
            self._file = self._files.enter_context(file)
        self._spills.append(
            {partition: self._file.write(self._drained(keys)) for partition, keys in self._sorted_keys()}
        )

    def _sorted_keys(self) -> Iterator[tuple[int, list[Key]]]:
        """Yield each partition that has keys in the buffer, in order, with these keys in order."""
        partitions: dict[int, list[Key]] = {}
        for key in self._groups:
            partitions.setdefault(self._partition(key), []).append(key)
        for partition in sorted(partitions):
            yield partition, sorted(partitions.pop(partition))

    def _drained(self, keys: list[Key]) -> Iterator[tuple[Key, list[Value]]]:
        for key in keys:
            yield key, self._groups.pop(key)

    def _merged(self, runs: list[SpilledRun]) -> Iterator[tuple[Key, Iterable[Value]]]:
        groups: Iterator[Group] = grouped(
            merge_spilled(runs, memory_bytes=self._memory_bytes, frame_bytes=self._frame_bytes, scratch=self._scratch)
        )
        if self._combine is None:
            return groups
        return ((key, _combined(self._combine, key, values)) for key, values in groups)


def no_pair(function: str, got: object) -> UserCodeError:
    """Return the error of a user's function that yielded ``got`` where a pair was due."""
    if isinstance(got, tuple | list):
        what = f"a {type(got).__name__} of {len(got)}"
    else:
        what = f"{got!r:.100}" if type(got) in LEAVES else f"a value of type {type(got).__name__}"
    return UserCodeError(f"{function} yielded {what}; it must yield pairs: yield key, value")


def _too_large(what: str, size_bytes: int, bytes_max: int) -> UserCodeError:
    return UserCodeError(
        f"map yielded a {what} that takes {format_size(size_bytes)} of memory, more than {format_size(bytes_max)}: "
        f"it may take a quarter of --memory"
    )


def _combined(combine: Combine, key: Key, values: Iterator[Value]) -> Iterator[Value]:
    first = next(values)
    second = list(islice(values, 1))
    return iter((first,)) if not second else iter(combine(key, chain((first,), second, values)))
