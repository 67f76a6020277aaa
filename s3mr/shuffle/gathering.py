"""What map yields, checked and held in memory: by key where a combiner may shrink it, as it comes where none can.

The two loops below run once for each pair of a job. A call, or an attribute, costs as much there as all the rest:
so their checks are written out, and what these cannot settle goes to a function.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final, TypeAlias

from s3mr import limits
from s3mr.errors import UserCodeError
from s3mr.model.sizes import format_size
from s3mr.shuffle.frames import PAIR_BYTES, Pair
from s3mr.shuffle.keys import Key, KeyTypes
from s3mr.shuffle.partitioning import Partition
from s3mr.shuffle.values import ASCII_BYTES, INT_BYTES, LEAVES, Value, carried, check_value, column_bytes

Map: TypeAlias = Callable[[str, Any], Iterable[Any]]  # (source, record) → pairs
Combine: TypeAlias = Callable[[Key, Iterator[Value]], Iterable[Value]]  # gives checked values of its own
Fold: TypeAlias = Callable[[Key, list[Value]], Value]  # makes one value, a state, of those that map yielded …
Merge: TypeAlias = Callable[[Key, list[Value]], Value]  # … and one state of several, in the order of their values
Batches: TypeAlias = Iterator[Sequence[Pair]]  # in key order

_GROUP_BYTES: Final = 200  # what a key takes besides itself: its place in a dict, and its list of values
_SMALL: Final = 2**30 - 1  # ints below are one digit of CPython's: it compares these at once
_BATCH_PAIRS: Final = 128
_UNSORTED_BYTES: Final = 256 * limits.KIB


@dataclass(frozen=True, slots=True)
class Stop:
    """Where `Gathering.fill` was when it raised: at which record, and what map had returned.

    ``in_map`` says that map itself raised, or returned what cannot be iterated over.
    """

    record: Any
    results: Any
    in_map: bool


class Gathering(ABC):
    """Pairs in memory, no more than ``memory_bytes`` by `check_value`'s estimate: then ``make_room`` is called.

    ``value_bytes_max`` bounds each key and each value. ``pairs`` counts all that were ever taken in.
    """

    def __init__(
        self, *, partition: Partition, memory_bytes: int, value_bytes_max: int, make_room: Callable[[], None]
    ) -> None:
        self._partition = partition
        self._memory_bytes = memory_bytes
        self._value_bytes_max = value_bytes_max
        self._make_room = make_room
        self._size_bytes = 0
        self.types = KeyTypes()
        self.pairs = 0
        self.stop: Stop | None = None

    @abstractmethod
    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:
        """Take in the pairs that ``function(source, record)`` yields for each of ``records``.

        Whatever ``function`` raises passes through; ``stop`` says where that was.

        Raises:
            UserCodeError: what should be a pair is none, cannot be carried or is too large, or keys are of mixed types.
        """

    @abstractmethod
    def shrink(self) -> int:
        """Combine what can be combined; return how much memory is taken then."""

    @abstractmethod
    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Give up all pairs, sorted, by partition; each is to be read before the next is asked for."""


class Pairs(Gathering):
    """Pairs as they come, for a job without a combiner."""

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - as `Gathering`
        super().__init__(**given)
        self._held: defaultdict[int, list[Pair]] = defaultdict(list)  # by partition

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:  # noqa: C901, PLR0912 - see above
        """Take in what ``function`` yields for ``records``."""
        pairs: list[Pair] = []
        append, pairs_bytes, types, scalar = pairs.append, 0, self.types, self.types.scalar
        value_bytes_max, pairs_bytes_max = self._value_bytes_max, min(_UNSORTED_BYTES, self._memory_bytes // 16)
        record: Any = None
        results: Iterable[Any] = ()
        in_map = True
        try:
            for record in records:
                results = function(source, record)
                for pair in results:
                    in_map = False
                    try:
                        key, value = pair
                    except (TypeError, ValueError):
                        raise no_pair("map", pair) from None
                    if type(pair) is not tuple:
                        pair = as_pair("map", pair)  # noqa: PLW2901 - a tuple of our own
                    if type(key) is not scalar or scalar is float:
                        _admit(types, key)
                        scalar = types.scalar
                    pair_bytes = PAIR_BYTES
                    if scalar is str and key.isascii():
                        pair_bytes += ASCII_BYTES + len(key)
                    else:
                        pair_bytes += check_value(key)
                    kind = type(value)
                    if kind is int and value < _SMALL and value > -_SMALL:
                        pair_bytes += INT_BYTES
                    elif kind is str and value.isascii():
                        pair_bytes += ASCII_BYTES + len(value)
                    else:
                        value_bytes, own = carried(value)
                        pair_bytes += value_bytes
                        if own is not value:
                            pair = key, own  # noqa: PLW2901 - as it is now
                    if pair_bytes > value_bytes_max:
                        refuse_large(key, value, value_bytes_max)
                    append(pair)
                    pairs_bytes += pair_bytes
                    if pairs_bytes > pairs_bytes_max:
                        self._hold(pairs, pairs_bytes)
                        pairs_bytes = 0
                    in_map = True
            in_map = False
            self._hold(pairs, pairs_bytes)
        except BaseException:
            self.stop = Stop(record, results, in_map)
            raise

    def shrink(self) -> int:
        """Nothing can be combined."""
        return self._size_bytes

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Sort a partition at a time; the pairs of a key stay as they came."""
        for partition in sorted(self._held):
            pairs = self._held.pop(partition)
            pairs.sort(key=itemgetter(0))
            yield partition, iter((pairs,))
        self._size_bytes = 0

    def _hold(self, pairs: list[Pair], size_bytes: int) -> None:
        """Put ``pairs`` into their partitions, as long as they are in the processor's cache; the list is emptied."""
        self.pairs += len(pairs)
        held = self._held
        for partition, pair in zip(self._partition([key for key, _ in pairs]), pairs, strict=True):
            held[partition].append(pair)
        pairs.clear()
        self._size_bytes += size_bytes
        if self._size_bytes > self._memory_bytes:
            self._make_room()


class Groups(Gathering):
    """Values by key, for a job with a combiner, which is asked only for keys with more than one value."""

    def __init__(self, *, combine: Combine, **given: Any) -> None:  # noqa: ANN401 - as `Gathering`
        super().__init__(**given)
        self._combine = combine
        self._held: dict[Key, list[Value]] = {}

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:  # noqa: C901 - see above
        """Take in what ``function`` yields for ``records``."""
        held, size_bytes, types, scalar = self._held, self._size_bytes, self.types, self.types.scalar
        shapes, memory_bytes, value_bytes_max, pairs = types.shapes, self._memory_bytes, self._value_bytes_max, 0
        record: Any = None
        results: Iterable[Any] = ()
        in_map = True
        try:
            for record in records:
                results = function(source, record)
                for pair in results:
                    in_map = False
                    try:
                        key, value = pair
                    except (TypeError, ValueError):
                        raise no_pair("map", pair) from None
                    if type(pair) is not tuple:
                        pair = as_pair("map", pair)  # noqa: PLW2901 - a tuple of our own
                    if type(key) is not scalar and (type(key) is not tuple or tuple(map(type, key)) not in shapes):
                        types.admit(key)
                        scalar = types.scalar
                    if type(value) is int and value < _SMALL and value > -_SMALL:
                        size_bytes += INT_BYTES
                    else:
                        value_bytes, value = carried(value)
                        size_bytes += value_bytes
                        if value_bytes > value_bytes_max:
                            refuse_large(key, value, value_bytes_max)
                    values = held.get(key)
                    if values is None:
                        held[key] = [value]
                        size_bytes += self._new_key_bytes(key)
                    else:
                        values.append(value)
                    pairs += 1
                    if size_bytes > memory_bytes:
                        self._size_bytes = size_bytes
                        self._make_room()
                        held, size_bytes = self._held, self._size_bytes
                    in_map = True
        except BaseException:
            self.stop = Stop(record, results, in_map)
            raise
        self._size_bytes = size_bytes
        self.pairs += pairs

    def shrink(self) -> int:
        """Combine the values of each key in place."""
        held, combine = self._held, self._combine
        for key, values in held.items():
            if len(values) > 1:
                held[key] = list(combine(key, iter(values)))
        self._held = held = {key: values for key, values in held.items() if values}
        values_bytes = column_bytes(list(chain.from_iterable(held.values())))
        self._size_bytes = values_bytes + column_bytes(held.keys()) + len(held) * _GROUP_BYTES
        return self._size_bytes

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Sort the keys of a partition at a time."""
        partitions: dict[int, list[Key]] = {}
        for partition, key in zip(self._partition(list(self._held)), self._held, strict=True):
            partitions.setdefault(partition, []).append(key)
        for partition in sorted(partitions):
            yield partition, self._drained(sorted(partitions.pop(partition)))
        self._held, self._size_bytes = {}, 0

    def _drained(self, keys: list[Key]) -> Batches:
        pairs = ((key, value) for key in keys for value in self._held.pop(key))
        while batch := list(islice(pairs, _BATCH_PAIRS)):
            yield batch

    def _new_key_bytes(self, key: Key) -> int:
        if self.types.floats:
            _admit(self.types, key)  # it may hold NaN
        key_bytes = check_value(key)
        if key_bytes > self._value_bytes_max:
            refuse_large(key, None, self._value_bytes_max)
        return key_bytes + _GROUP_BYTES


class Folds(Groups):
    """One state by key, for a job whose reducer can be applied in parts."""

    def __init__(self, *, fold: Fold, merge: Merge, **given: Any) -> None:  # noqa: ANN401 - as `Gathering`
        super().__init__(combine=lambda _key, values: values, **given)
        self._fold = fold
        self._merge = merge
        self._states: dict[Key, Value] = {}

    def shrink(self) -> int:
        """Fold what has come since, and merge it with what was there."""
        states, fold, held = self._states, self._fold, self._held
        for key, values in held.items():
            state = fold(key, values)
            states[key] = self._merge(key, [states[key], state]) if key in states else state
        self._held = {}
        self._size_bytes = column_bytes(states.values()) + column_bytes(states.keys()) + len(states) * _GROUP_BYTES
        return self._size_bytes

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Sort the keys of a partition at a time."""
        self._held, self._states = {key: [state] for key, state in self._states.items()}, {}
        return super().partitions()


def as_pair(function: str, got: Any) -> tuple[Any, Any]:  # noqa: ANN401 - whatever a function yielded
    """Return the pair that ``got`` is.

    Raises:
        UserCodeError: it is none: only tuples and lists of two are.
    """
    if type(got) not in (tuple, list) or len(got) != 2:
        raise no_pair(function, got)
    return (*got,)


def no_pair(function: str, got: object) -> UserCodeError:
    """Return the error of a user's function that yielded ``got`` where a pair was due."""
    if isinstance(got, tuple | list):
        what = f"a {type(got).__name__} of {len(got)}"
    else:
        what = f"{got!r:.100}" if type(got) in LEAVES else f"a value of type {type(got).__name__}"
    return UserCodeError(f"{function} yielded {what}; it must yield pairs: yield key, value")


def refuse_large(key: Key, value: Value, bytes_max: int) -> None:
    """Refuse a pair of which one half alone takes more than ``bytes_max``.

    Raises:
        UserCodeError: so it is.
    """
    for what, item in (("key", key), ("value", value)):
        if (size_bytes := check_value(item)) > bytes_max:
            raise UserCodeError(
                f"map yielded a {what} that takes {format_size(size_bytes)} of memory, more than "
                f"{format_size(bytes_max)}: it may take a quarter of --memory"
            )


def _admit(types: KeyTypes, key: Key) -> None:
    """Take in a key whose type alone does not say that it is like those before: a tuple, a float, or the first."""
    kind = type(key)
    if kind is tuple:
        if types.floats or tuple(map(type, key)) not in types.shapes:
            types.admit(key)
    elif kind is not types.scalar or key != key:  # noqa: PLR0124 - only NaN differs from itself
        types.admit(key)
