"""What map yields, checked and held in memory by key: where a combiner, or a reducer's own fold, may shrink it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, Final, TypeAlias

from s3mr.shuffle.key_types import Key
from s3mr.shuffle.pair_buffer import (
    ONE_DIGIT_MAX,
    Batches,
    Map,
    MapBuffer,
    Room,
    Stop,
    admit,
    as_pair,
    no_pair,
    refuse_large,
)
from s3mr.shuffle.value_types import INT_BYTES, LEAVES, Value, carried, check_value, column_bytes, flat_bytes

Combine: TypeAlias = Callable[[Key, Iterator[Value]], Iterable[Value]]  # gives checked values of its own

_GROUP_BYTES: Final = 200  # what a key takes besides itself: its place in a dict, and its list of values
_BATCH_PAIRS: Final = 128
_PLACE_BYTES: Final = 8  # of a counted value in a list: whoever combines may make one of all, or yield them all again
_FOLDED_PAIRS_MAX: Final = 2**16  # counted values that are folded at once
_NONE_YET: Final = object()  # no value has come
_MANY: Final = object()  # several have


@dataclass(frozen=True, slots=True)
class Folding:
    """What a reducer that can be applied in parts does with a key's values.

    ``fold`` makes one value, a state, of those that map yielded; ``merge`` makes one state of several, in the order of
    their values. ``step``, where there is one, makes one int of two, for a reducer to which ints are states, and their
    order means nothing.
    """

    fold: Callable[[Key, list[Value]], Value]
    merge: Callable[[Key, list[Value]], Value]
    step: Callable[[int, int], int] | None = None


class KeyedBuffer(MapBuffer):
    """Values by key. As long as all of them are one and the same object, as in ``yield word, 1``, they are counted."""

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._held: dict[Key, list[Value]] = {}
        self._counts: dict[Key, int] = {}  # how often each key came with …
        self._same: Value = _NONE_YET  # … this value, after those that are held
        self._states: dict[Key, Value] = {}  # what was folded of values before both
        self._step: Callable[[int, int], int] | None = None  # folds at once, as long as there are but ints

    def fill(self, source: str, records: Iterable[Any], function: Map) -> None:  # noqa: C901, PLR0912, PLR0915 - no calls in here
        """Take in what ``function`` yields for ``records``."""
        held, counts, same, size_bytes = self._held, self._counts, self._same, self._size_bytes
        states, step = self._states, self._step
        types, scalar, shapes, pairs = self.types, self.types.scalar, self.types.shapes, 0
        first, second = types.two
        memory_bytes, value_bytes_max = self._room.memory_bytes, self._room.value_bytes_max
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
                    if type(key) is not scalar and not (
                        type(key) is tuple
                        and (
                            (len(key) == 2 and type(key[0]) is first and type(key[1]) is second)
                            or tuple(map(type, key)) in shapes
                        )
                    ):
                        types.admit(key)
                        scalar, (first, second) = types.scalar, types.two
                    pairs += 1
                    if value is same:
                        count = counts.get(key)
                        if count is None:
                            counts[key] = 1
                            size_bytes += self._new_key_bytes(key)
                        else:
                            counts[key] = count + 1
                        size_bytes += _PLACE_BYTES
                    else:
                        if type(value) is int and value < ONE_DIGIT_MAX and value > -ONE_DIGIT_MAX:
                            value_bytes = INT_BYTES
                        else:
                            value_bytes = flat_bytes(value) if type(value) is tuple else 0
                            if not value_bytes:
                                value_bytes, value = carried(value)
                            if value_bytes > value_bytes_max:
                                refuse_large(key, value, value_bytes_max)
                            step = self._step = None
                        if same is not _MANY:
                            self._size_bytes = size_bytes
                            same = self._told_apart(value)
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
                        self._room.make_room()
                        held, same, size_bytes = self._held, self._same, self._size_bytes
                    in_map = True
        except BaseException:
            self.stop = Stop(record, results, in_map)
            raise
        self._size_bytes = size_bytes
        self.pairs += pairs

    def _told_apart(self, value: Value) -> Value:
        """Return the value to be counted from now on: this first one of all, or none any more, if another one came."""
        if self._same is _NONE_YET and LEAVES.issuperset(map(type, value if type(value) is tuple else (value,))):
            self._same = value
        else:
            self.shrink()
            self.measure()
            self._same = _MANY
        return self._same

    def _new_key_bytes(self, key: Key) -> int:
        if self.types.floats:
            admit(self.types, key)  # it may hold NaN
        key_bytes = check_value(key)
        if key_bytes > self._room.value_bytes_max:
            refuse_large(key, None, self._room.value_bytes_max)
        return key_bytes + _GROUP_BYTES


class CombineBuffer(KeyedBuffer):
    """For a job with a combiner, which is asked only for keys with more than one value."""

    def __init__(self, room: Room, combine: Combine) -> None:
        super().__init__(room)
        self._combine = combine

    def shrink(self) -> None:
        """Combine the values of each key in place."""
        held, counts, combine = self._held, self._counts, self._combine
        for key, values in held.items():
            count = counts.pop(key, 0)
            if len(values) + count > 1:
                held[key] = list(combine(key, chain(values, repeat(self._same, count))))
        for key, count in counts.items():
            held[key] = [self._same] if count == 1 else list(combine(key, repeat(self._same, count)))
        counts.clear()
        for key in [key for key, values in held.items() if not values]:
            del held[key]

    def measure(self) -> int:
        """Size all keys, and the values that were combined; after `shrink`."""
        held = self._held
        values_bytes = column_bytes(list(chain.from_iterable(held.values())))
        self._size_bytes = values_bytes + column_bytes(held.keys()) + len(held) * _GROUP_BYTES
        return self._size_bytes

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Sort the keys of a partition at a time; a key may have many values, of which no pairs are made before."""
        partitions: dict[int, list[Key]] = {}
        for partition, key in zip(self._room.partition(list(self._held)), self._held, strict=True):
            partitions.setdefault(partition, []).append(key)
        for partition in sorted(partitions):
            yield partition, self._drained(sorted(partitions.pop(partition)))
        self._held, self._same, self._size_bytes = {}, _NONE_YET, 0

    def _drained(self, keys: list[Key]) -> Batches:
        pairs = ((key, value) for key in keys for value in self._held.pop(key))
        while batch := list(islice(pairs, _BATCH_PAIRS)):
            yield batch


class FoldBuffer(KeyedBuffer):
    """One state a key, for a job whose reducer can be applied in parts."""

    def __init__(self, room: Room, folding: Folding) -> None:
        super().__init__(room)
        self._fold = folding.fold
        self._merge = folding.merge
        self._step = folding.step

    def shrink(self) -> None:
        """Fold what has come since, and merge it with what was there."""
        for key, values in self._held.items():
            self._add(key, self._fold(key, values))
        folded: dict[int, Value] = {}  # of what is counted, the state depends on how often it came, not on the key
        for key, count in self._counts.items():
            state = folded.get(count, _NONE_YET)
            if state is _NONE_YET:
                state = folded[count] = self._counted(key, count)
            self._add(key, state)
        self._held = {}
        self._counts.clear()

    def measure(self) -> int:
        """Size all keys and states; after `shrink`."""
        states = self._states
        self._size_bytes = column_bytes(states.values()) + column_bytes(states.keys()) + len(states) * _GROUP_BYTES
        return self._size_bytes

    def _add(self, key: Key, state: Value) -> None:
        states = self._states
        states[key] = self._merge(key, [states[key], state]) if key in states else state

    def _counted(self, key: Key, count: int) -> Value:
        """Fold the counted value, a list of bounded length at a time."""
        lengths = (min(_FOLDED_PAIRS_MAX, count - done) for done in range(0, count, _FOLDED_PAIRS_MAX))
        states = [self._fold(key, [self._same] * length) for length in lengths]
        return states[0] if len(states) == 1 else self._merge(key, states)

    def partitions(self) -> Iterator[tuple[int, Batches]]:
        """Sort a partition at a time."""
        self._distribute(self._states.items())
        self._states.clear()
        self._same = _NONE_YET
        return super().partitions()
