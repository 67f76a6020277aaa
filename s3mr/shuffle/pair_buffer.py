"""Buffer the pairs of map in memory, checked. `PairBuffer` is for a job without a combiner.

The loops in `PairBuffer.fill` and `KeyedBuffer.fill` run once for each pair of a job. A call or an attribute access
costs as much there as all the rest. So both write their checks out inline, and call a function only for pairs that the
inline checks cannot decide.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeAlias

from s3mr import limits
from s3mr.errors import UserCodeError
from s3mr.quantities import format_size
from s3mr.shuffle.external_sort import Batches
from s3mr.shuffle.frames import PAIR_BYTES, Pair
from s3mr.shuffle.key_types import Key, KeyTypes
from s3mr.shuffle.partitioning import Partition
from s3mr.shuffle.value_types import ASCII_BYTES, INT_BYTES, LEAVES, Value, check_value, sized_snapshot

Map: TypeAlias = Callable[[str, Any], Iterable[Any]]  # (source, record) → pairs

ONE_DIGIT_MAX: Final = 2**30 - 1  # CPython compares ints of one digit fastest
_UNSORTED_BYTES_MAX: Final = 256 * limits.KIB


@dataclass(frozen=True, slots=True)
class BufferSettings:
    """How to partition the pairs, and the bounds of memory and of each key and value, as `check_value` estimates them.

    The buffer calls ``on_full`` when it holds more than ``memory_bytes``; that call shrinks or empties the buffer.
    """

    partition: Partition
    memory_bytes: int
    value_bytes_max: int
    on_full: Callable[[], None]


class FillError(Exception):
    """``error`` stopped `MapBuffer.fill` at ``record``, for which map had returned ``results``.

    It is a `UserCodeError` if a yielded object is not a pair, cannot be serialized or is too large, or if keys have
    mixed types. It can also come from combining or spilling. ``in_map`` is true if map itself raised it, or returned an
    object that is not iterable.
    """

    def __init__(self, error: BaseException, record: Any, results: Any, *, in_map: bool) -> None:  # noqa: ANN401 - any record
        super().__init__(f"{type(error).__name__} at one record")
        self.error, self.record, self.results, self.in_map = error, record, results, in_map


class MapBuffer(ABC):
    """Holds pairs in memory. ``pairs`` counts all pairs ever added."""

    def __init__(self, settings: BufferSettings) -> None:
        self._settings = settings
        self._size_bytes = 0
        self._by_partition: defaultdict[int, list[Pair]] = defaultdict(list)
        self.types = KeyTypes()
        self.pairs = 0

    @abstractmethod
    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:
        """Add the pairs that ``function(source, record)`` yields for each of ``records``.

        Raises:
            FillError: an error stopped it: of ``function``, of a pair that cannot be added, of combining or spilling.
        """

    @abstractmethod
    def shrink(self) -> None:
        """Combine the values of each key, if the job allows it."""

    @abstractmethod
    def measure(self) -> int:
        """Return how much memory the buffer takes after `shrink`."""

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Yield and remove all pairs, sorted, by partition. Read a partition before you ask for the next.

        The pairs of a key keep their order.
        """
        for partition in sorted(self._by_partition):
            pairs = self._by_partition.pop(partition)
            pairs.sort(key=itemgetter(0))
            yield partition, iter((pairs,))
        self._size_bytes = 0

    def _distribute(self, pairs: Collection[Pair]) -> None:
        lists = self._by_partition
        for partition, pair in zip(self._settings.partition([key for key, _ in pairs]), pairs, strict=True):
            lists[partition].append(pair)


class PairBuffer(MapBuffer):
    """Holds pairs in their order, for a job without a combiner."""

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:  # noqa: C901, PLR0912 - a hot loop avoids calls
        """Add the pairs that ``function`` yields for ``records``."""
        pairs: list[Pair] = []
        append, pairs_bytes, types, scalar = pairs.append, 0, self.types, self.types.scalar
        value_bytes_max = self._settings.value_bytes_max
        pairs_bytes_max = min(_UNSORTED_BYTES_MAX, self._settings.memory_bytes // 16)
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
                    except Exception:  # noqa: BLE001 - a yielded object can raise anything when it is unpacked
                        raise not_a_pair("map", pair) from None
                    if type(pair) is not tuple:
                        pair = as_pair("map", pair)  # noqa: PLW2901 - replaced by a plain tuple
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
                        value_bytes, copied = sized_snapshot(value)
                        pair_bytes += value_bytes
                        if copied is not value:
                            pair = key, copied  # noqa: PLW2901 - replaced by a snapshot
                    if pair_bytes > value_bytes_max:
                        refuse_large(key, value, value_bytes_max)
                    append(pair)
                    pairs_bytes += pair_bytes
                    if pairs_bytes > pairs_bytes_max:
                        self._move(pairs, pairs_bytes)
                        pairs_bytes = 0
                    in_map = True
            in_map = False
            self._move(pairs, pairs_bytes)
        except BaseException as error:  # noqa: BLE001 - map may raise anything
            raise FillError(error, record, results, in_map=in_map) from None

    def shrink(self) -> None:
        """Do nothing: there is no combiner."""

    def measure(self) -> int:
        """Return the sum of all pairs."""
        return self._size_bytes

    def _move(self, pairs: list[Pair], size_bytes: int) -> None:
        """Move ``pairs`` to their partitions while they are still in the processor's cache. Empties the list."""
        self.pairs += len(pairs)
        self._distribute(pairs)
        pairs.clear()
        self._size_bytes += size_bytes
        if self._size_bytes > self._settings.memory_bytes:
            self._settings.on_full()


def as_pair(function: str, got: Any) -> tuple[Any, Any]:  # noqa: ANN401 - yielded by user code
    """Return ``got``, which ``function`` yielded, as a plain tuple.

    Raises:
        UserCodeError: ``got`` is not a tuple or list of two items.
    """
    if type(got) not in (tuple, list) or len(got) != 2:
        raise not_a_pair(function, got)
    return (*got,)


def not_a_pair(function: str, got: object) -> UserCodeError:
    """Return the error for a user's ``function`` that yielded ``got`` instead of a pair."""
    if isinstance(got, tuple | list):
        what = f"a {type(got).__name__} of {len(got)}"
        if type(got) not in (tuple, list):
            what += " that is not a plain tuple"
    else:
        what = f"{got!r:.100}" if type(got) in LEAVES else f"a value of type {type(got).__name__}"
    return UserCodeError(f"{function} yielded {what}; it must yield pairs: yield key, value")


def refuse_large(key: Key, value: Value, bytes_max: int) -> None:
    """Refuse a pair whose key or value alone takes more than ``bytes_max``.

    Raises:
        UserCodeError: the key or the value does.
    """
    for what, item in (("key", key), ("value", value)):
        if (size_bytes := check_value(item)) > bytes_max:
            raise UserCodeError(
                f"map yielded a {what} that takes {format_size(size_bytes)} of memory, more than "
                f"{format_size(bytes_max)}: yield smaller ones, or raise --memory (each may take a quarter of it)"
            )


def admit(types: KeyTypes, key: Key) -> None:
    """Check a key that the inline checks cannot decide: a tuple, a float, or the first key."""
    kind = type(key)
    if kind is tuple:
        if types.floats or tuple(map(type, key)) not in types.shapes:
            types.admit(key)
    elif kind is not types.scalar or key != key:  # noqa: PLR0124 - only NaN differs from itself
        types.admit(key)
