"""What map yields, checked and held in memory: here as it comes, for a job without a combiner.

`Pairs.fill` and its sister in `grouping` run once for each pair of a job. A call, or an attribute, costs as much there
as all the rest: so their checks are written out, twice, and what these cannot settle goes to a function.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeAlias

from s3mr import limits
from s3mr.errors import UserCodeError
from s3mr.quantities import format_size
from s3mr.shuffle.frames import PAIR_BYTES, Pair
from s3mr.shuffle.key_types import Key, KeyTypes
from s3mr.shuffle.partitioning import Partition
from s3mr.shuffle.value_types import ASCII_BYTES, INT_BYTES, LEAVES, Value, carried, check_value

Map: TypeAlias = Callable[[str, Any], Iterable[Any]]  # (source, record) → pairs
Batches: TypeAlias = Iterator[Sequence[Pair]]  # in key order

ONE_DIGIT_MAX: Final = 2**30 - 1  # CPython compares ints of one digit at once
_UNSORTED_BYTES_MAX: Final = 256 * limits.KIB


@dataclass(frozen=True, slots=True)
class Room:
    """What bounds a gathering: memory and the size of each key and value, by `check_value`'s estimate.

    ``make_room`` is called when more than ``memory_bytes`` are held: it has them shrunk, or takes them away.
    """

    partition: Partition
    memory_bytes: int
    value_bytes_max: int
    make_room: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Stop:
    """Where `Gathering.fill` was when it raised: at which record, and what map had returned.

    ``in_map`` says that map itself raised, or returned what cannot be iterated over.
    """

    record: Any
    results: Any
    in_map: bool


class MapBuffer(ABC):
    """Pairs in memory. ``pairs`` counts all that were ever taken in."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size_bytes = 0
        self._by_partition: defaultdict[int, list[Pair]] = defaultdict(list)
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
    def shrink(self) -> None:
        """Combine what can be combined."""

    @abstractmethod
    def measure(self) -> int:
        """Return how much memory is taken after `shrink`."""

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Give up all pairs, sorted, by partition; each is to be read before the next is asked for.

        The pairs of a key stay as they came.
        """
        for partition in sorted(self._by_partition):
            pairs = self._by_partition.pop(partition)
            pairs.sort(key=itemgetter(0))
            yield partition, iter((pairs,))
        self._size_bytes = 0

    def _distribute(self, pairs: Collection[Pair]) -> None:
        """Put ``pairs`` into their partitions."""
        lists = self._by_partition
        for partition, pair in zip(self._room.partition([key for key, _ in pairs]), pairs, strict=True):
            lists[partition].append(pair)


class PairBuffer(MapBuffer):
    """Pairs as they come, for a job without a combiner."""

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:  # noqa: C901, PLR0912 - no calls in here
        """Take in what ``function`` yields for ``records``."""
        pairs: list[Pair] = []
        append, pairs_bytes, types, scalar = pairs.append, 0, self.types, self.types.scalar
        value_bytes_max = self._room.value_bytes_max
        pairs_bytes_max = min(_UNSORTED_BYTES_MAX, self._room.memory_bytes // 16)
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
                    except Exception:  # noqa: BLE001 - what was yielded may raise anything when it is taken apart
                        raise no_pair("map", pair) from None
                    if type(pair) is not tuple:
                        pair = as_pair("map", pair)  # noqa: PLW2901 - a tuple of our own
                    if type(key) is not scalar or scalar is float:
                        admit(types, key)
                        scalar = types.scalar
                    pair_bytes = PAIR_BYTES
                    if scalar is str and key.isascii():
                        pair_bytes += ASCII_BYTES + len(key)
                    else:
                        pair_bytes += check_value(key)
                    kind = type(value)
                    if kind is int and value < ONE_DIGIT_MAX and value > -ONE_DIGIT_MAX:
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

    def shrink(self) -> None:
        """Nothing can be combined."""

    def measure(self) -> int:
        """Return what was added up."""
        return self._size_bytes

    def _hold(self, pairs: list[Pair], size_bytes: int) -> None:
        """Put ``pairs`` into their partitions, as long as they are in the processor's cache; the list is emptied."""
        self.pairs += len(pairs)
        self._distribute(pairs)
        pairs.clear()
        self._size_bytes += size_bytes
        if self._size_bytes > self._room.memory_bytes:
            self._room.make_room()


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
        if type(got) not in (tuple, list):
            what += " that is no plain tuple"
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


def admit(types: KeyTypes, key: Key) -> None:
    """Take in a key whose type alone does not say that it is like those before: a tuple, a float, or the first."""
    kind = type(key)
    if kind is tuple:
        if types.floats or tuple(map(type, key)) not in types.shapes:
            types.admit(key)
    elif kind is not types.scalar or key != key:  # noqa: PLR0124 - only NaN differs from itself
        types.admit(key)
