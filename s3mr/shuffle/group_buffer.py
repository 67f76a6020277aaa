"""Buffer the pairs of map by key, so that a combiner, or the reducer's own fold, can shrink them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, Final, TypeAlias

from s3mr.shuffle.external_sort import Batches
from s3mr.shuffle.key_types import Key
from s3mr.shuffle.pair_buffer import (
    ONE_DIGIT_MAX,
    BufferSettings,
    FillError,
    Map,
    MapBuffer,
    admit,
    as_pair,
    not_a_pair,
    refuse_large,
)
from s3mr.shuffle.value_types import INT_BYTES, LEAVES, Value, check_value, column_bytes, flat_bytes, sized_snapshot

Combine: TypeAlias = Callable[[Key, Iterator[Value]], Iterable[Value]]  # yields values that are checked and copied

_GROUP_BYTES: Final = 200  # memory of a key besides itself: its dict entry, and its list of values
_BATCH_PAIRS: Final = 128
_COUNTED_BYTES: Final = 8  # a list slot for each counted value: a combiner may keep them all in a list
_FOLDED_PAIRS_MAX: Final = 2**16  # counted values folded in one call
_NO_VALUE: Final = object()  # no value seen yet
_MANY: Final = object()  # several different values seen


@dataclass(frozen=True, slots=True)
class Folding:
    """How a reducer that can be applied in parts shrinks the values of a key.

    ``fold`` turns values that map yielded into one state. ``merge`` turns several states into one, in the order of
    their values. ``step`` is optional: it turns two ints into one, for reducers whose states are ints and do not
    depend on order.
    """

    fold: Callable[[Key, list[Value]], Value]
    merge: Callable[[Key, list[Value]], Value]
    step: Callable[[int, int], int] | None = None


class KeyedBuffer(MapBuffer):
    """Holds values by key.

    While all values are one and the same object, as in ``yield word, 1``, it only counts them.
    """

    def __init__(self, settings: BufferSettings) -> None:
        super().__init__(settings)
        self._held: dict[Key, list[Value]] = {}
        self._counts: dict[Key, int] = {}  # how often each key came with ``_counted``, after the values in ``_held``
        self._counted: Value = _NO_VALUE
        self._states: dict[Key, Value] = {}  # folded from the values before both
        self._step: Callable[[int, int], int] | None = None  # folds each int as it comes; None after any other value

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:  # noqa: C901, PLR0912, PLR0915 - a hot loop avoids calls
        """Add the pairs that ``function`` yields for ``records``."""
        held, counts, counted, size_bytes = self._held, self._counts, self._counted, self._size_bytes
        states, step = self._states, self._step
        types, scalar, shapes, pairs = self.types, self.types.scalar, self.types.shapes, 0
        first, second = types.two_item_shape
        memory_bytes, value_bytes_max = self._settings.memory_bytes, self._settings.value_bytes_max
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
                    if type(key) is not scalar and not (
                        type(key) is tuple
                        and (
                            (len(key) == 2 and type(key[0]) is first and type(key[1]) is second)
                            or tuple(map(type, key)) in shapes
                        )
                    ):
                        types.admit(key)
                        scalar, (first, second) = types.scalar, types.two_item_shape
                    pairs += 1
                    if value is counted:
                        count = counts.get(key)
                        if count is None:
                            counts[key] = 1
                            size_bytes += self._new_key_bytes(key)
                        else:
                            counts[key] = count + 1
                        size_bytes += _COUNTED_BYTES
                    else:
                        if type(value) is int and value < ONE_DIGIT_MAX and value > -ONE_DIGIT_MAX:
                            value_bytes = INT_BYTES
                        else:
                            value_bytes = flat_bytes(value) if type(value) is tuple else 0
                            if not value_bytes:
                                value_bytes, value = sized_snapshot(value)
                            if value_bytes > value_bytes_max:
                                refuse_large(key, value, value_bytes_max)
                            step = self._step = None
                        if counted is not _MANY:
                            self._size_bytes = size_bytes
                            counted = self._next_counted(value)
                            held, size_bytes = self._held, self._size_bytes
                        if step:
                            state = states.get(key)
                            if state is None:
                                states[key] = value
                                value_bytes += self._new_key_bytes(key)
                            else:
                                states[key] = step(state, value)
                                value_bytes = 0
                        else:
                            values = held.get(key)
                            if values is None:
                                held[key] = [value]
                                value_bytes += self._new_key_bytes(key)
                            else:
                                values.append(value)
                        size_bytes += value_bytes
                    if size_bytes > memory_bytes:
                        self._size_bytes = size_bytes
                        self._settings.on_full()
                        held, counted, size_bytes = self._held, self._counted, self._size_bytes
                    in_map = True
        except BaseException as error:  # noqa: BLE001 - map may raise anything
            raise FillError(error, record, results, in_map=in_map) from None
        self._size_bytes = size_bytes
        self.pairs += pairs

    def _next_counted(self, value: Value) -> Value:
        """Return the value to count from now on: ``value`` if it is the first of all, else ``_MANY``: stop counting."""
        if self._counted is _NO_VALUE and LEAVES.issuperset(map(type, value if type(value) is tuple else (value,))):
            self._counted = value
        else:
            self.shrink()
            self.measure()
            self._counted = _MANY
        return self._counted

    def _new_key_bytes(self, key: Key) -> int:
        if self.types.floats:
            admit(self.types, key)  # it may contain NaN
        key_bytes = check_value(key)
        if key_bytes > self._settings.value_bytes_max:
            refuse_large(key, None, self._settings.value_bytes_max)
        return key_bytes + _GROUP_BYTES


class CombineBuffer(KeyedBuffer):
    """For a job with a combiner. It calls the combiner only for keys with more than one value."""

    def __init__(self, settings: BufferSettings, combine: Combine) -> None:
        super().__init__(settings)
        self._combine = combine

    def shrink(self) -> None:
        """Combine the values of each key in place."""
        held, counts, combine = self._held, self._counts, self._combine
        for key, values in held.items():
            count = counts.pop(key, 0)
            if len(values) + count > 1:
                held[key] = list(combine(key, chain(values, repeat(self._counted, count))))
        for key, count in counts.items():
            held[key] = [self._counted] if count == 1 else list(combine(key, repeat(self._counted, count)))
        counts.clear()
        for key in [key for key, values in held.items() if not values]:
            del held[key]

    def measure(self) -> int:
        """Return the memory of all keys and combined values. Call `shrink` first."""
        held = self._held
        values_bytes = column_bytes(list(chain.from_iterable(held.values())))
        self._size_bytes = values_bytes + column_bytes(held.keys()) + len(held) * _GROUP_BYTES
        return self._size_bytes

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Yield and remove all pairs, one partition at a time. Pairs are made late: a key may have many values."""
        partitions: dict[int, list[Key]] = {}
        for partition, key in zip(self._settings.partition(list(self._held)), self._held, strict=True):
            partitions.setdefault(partition, []).append(key)
        for partition in sorted(partitions):
            yield partition, self._pop_pairs(sorted(partitions.pop(partition)))
        self._held, self._counted, self._size_bytes = {}, _NO_VALUE, 0

    def _pop_pairs(self, keys: list[Key]) -> Batches:
        pairs = ((key, value) for key in keys for value in self._held.pop(key))
        while batch := list(islice(pairs, _BATCH_PAIRS)):
            yield batch


class FoldBuffer(KeyedBuffer):
    """Holds one state per key, for a job whose reducer can be applied in parts."""

    def __init__(self, settings: BufferSettings, folding: Folding) -> None:
        super().__init__(settings)
        self._fold = folding.fold
        self._merge = folding.merge
        self._step = folding.step

    def shrink(self) -> None:
        """Fold the new values of each key, and merge them into its state."""
        for key, values in self._held.items():
            self._add(key, self._fold(key, values))
        folded: dict[int, Value] = {}  # by count: the state of a counted value does not depend on the key
        for key, count in self._counts.items():
            state = folded.get(count, _NO_VALUE)
            if state is _NO_VALUE:
                state = folded[count] = self._fold_counted(key, count)
            self._add(key, state)
        self._held = {}
        self._counts.clear()

    def measure(self) -> int:
        """Return the memory of all keys and states. Call `shrink` first."""
        states = self._states
        self._size_bytes = column_bytes(states.values()) + column_bytes(states.keys()) + len(states) * _GROUP_BYTES
        return self._size_bytes

    def _add(self, key: Key, state: Value) -> None:
        states = self._states
        states[key] = self._merge(key, [states[key], state]) if key in states else state

    def _fold_counted(self, key: Key, count: int) -> Value:
        """Fold ``count`` times the counted value, in lists of bounded length."""
        lengths = (min(_FOLDED_PAIRS_MAX, count - done) for done in range(0, count, _FOLDED_PAIRS_MAX))
        states = [self._fold(key, [self._counted] * length) for length in lengths]
        return states[0] if len(states) == 1 else self._merge(key, states)

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Yield and remove all states, one partition at a time."""
        self._distribute(self._states.items())
        self._states.clear()
        self._counted = _NO_VALUE
        return super().partitions()
