"""Ready-made reducers: ``Job(map=words, reduce=reducers.total)``.

Each is a plain function ``(key, values)`` that yields one pair, and the engine knows what it does: a job that names one
needs no combiner. Map tasks fold the values of a key to a small state, at the speed of Python's built-in functions, and
reduce merges the states. Whatever was folded where, the result is that of the plain function over all values.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import fsum, isfinite, nan
from operator import add, itemgetter, ne
from typing import Any, Final, TypeAlias

__all__ = ["Reducer", "count", "distinct", "first", "maximum", "mean", "minimum", "top", "total"]

_EXACT_MAX: Final = 2**53  # ints up to here are floats, exactly
MapValue: TypeAlias = Any  # what map yields; what each reducer takes, its docstring says
State: TypeAlias = Any  # made of what can be carried across the shuffle


@dataclass(frozen=True, slots=True, eq=False)
class Reducer:
    """A reduce function that can be applied in parts.

    ``fold`` makes a state of some values, never none; ``merge`` makes one of several, in the order of their values;
    ``finish`` makes the result of the last. ``step`` makes one int of two and never raises, where an int is its own
    state, and the order of ints means nothing. Call it as any function of ``(key, values)``.
    """

    name: str
    fold: Callable[[Sequence[MapValue]], State]
    merge: Callable[[Sequence[State]], State]
    finish: Callable[[State], MapValue] = lambda state: state
    step: Callable[[int, int], int] | None = None

    def __call__(self, key: Any, values: Iterable[MapValue]) -> Iterator[tuple[Any, MapValue]]:  # noqa: ANN401 - any key
        """Yield the key with the result for ``values``."""
        yield key, self.finish(self.fold(list(values)))

    def __repr__(self) -> str:
        return f"s3mr.reducers.{self.name}"


def top(n: int) -> Reducer:
    """Return the reducer that lists the ``n`` largest values, the largest first; of equal ones, the earlier first.

    Values are of one type that has an order, and none is NaN. To rank by something, put it first: ``(size, name)``.
    """
    if type(n) is not int or n < 1:
        raise ValueError(f"top(n) lists at least one value, not {n!r}")

    def largest(values: Iterable[MapValue]) -> State:
        values = list(values)
        if _has_nan(values):
            raise ValueError("NaN has no order: leave it out")
        return heapq.nlargest(n, values)

    return Reducer(f"top({n})", largest, lambda states: largest(chain.from_iterable(states)))


def _sum(values: Sequence[MapValue]) -> State:
    """Return the exact sum: an int, or ``(int, floats whose sum it is as well)``, which no rounding has touched."""
    kinds = set(map(type, values))
    if kinds <= {int, bool}:
        return sum(values)
    if not kinds <= {int, bool, float}:
        raise TypeError(f"only int and float can be added up, not {', '.join(sorted(kind.__name__ for kind in kinds))}")
    whole = sum(value for value in values if type(value) is not float)
    return whole, *_exact([value for value in values if type(value) is float])


def _merged_sum(states: Sequence[State]) -> State:
    if all(type(state) is int for state in states):
        return sum(states)
    apart = [(state,) if type(state) is int else state for state in states]
    return sum(map(itemgetter(0), apart)), *_exact([part for state in apart for part in state[1:]])


def _exact(values: list[float]) -> list[float]:
    """Return a few floats with the same sum, exactly: what rounding has cut off is kept, part by part."""
    parts: list[float] = []
    try:
        while part := fsum(chain(values, (-one for one in parts))):
            parts.append(part)
            if not isfinite(part):
                return [part]
    except (OverflowError, ValueError):  # beyond the largest float on the way, or infinities of both signs
        return [sum(values, start=0.0)]
    return parts or [0.0]


def _rounded(state: State) -> int | float:
    if type(state) is int:
        return state
    whole, *floats = state
    try:
        if abs(whole) <= _EXACT_MAX or not all(map(isfinite, floats)):
            return fsum(state)
        from fractions import Fraction

        return float(sum(map(Fraction, floats), start=Fraction(whole)))
    except (OverflowError, ValueError):
        return sum(floats, start=float(whole))


def _has_nan(values: Sequence[MapValue]) -> bool:
    return float in set(map(type, values)) and any(map(ne, values, values))  # only NaN differs from itself


def _least(pick: Callable[[Iterable[MapValue]], MapValue], values: Sequence[MapValue]) -> MapValue:
    return nan if _has_nan(values) else pick(values)


def _mean_of(values: Sequence[MapValue]) -> State:
    summed = _sum(values)
    return (len(values), summed) if type(summed) is int else (len(values), *summed)


def _merged_mean(states: Sequence[State]) -> State:
    summed = _merged_sum([_summed(state) for state in states])
    number = sum(map(itemgetter(0), states))
    return (number, summed) if type(summed) is int else (number, *summed)


def _summed(state: State) -> State:
    """Return the state of `total` in that of `mean`, which begins with how many values there are."""
    return state[1] if len(state) == 2 else state[1:]


def _different(values: Iterable[MapValue]) -> State:
    return list(dict.fromkeys(nan if value != value else value for value in values))  # noqa: PLR0124 - only NaN differs


total: Final = Reducer("total", _sum, _merged_sum, _rounded, add)
"""The sum of the values, int or float. Floats are added up exactly and rounded once, in whatever order they come,
unless a sum on the way is beyond the largest float."""

count: Final = Reducer("count", len, sum)
"""How many values there are, whatever they are."""

minimum: Final = Reducer("minimum", partial(_least, min), partial(_least, min), step=min)
"""The smallest value; of equal ones, the first; NaN if one is."""

maximum: Final = Reducer("maximum", partial(_least, max), partial(_least, max), step=max)
"""The largest value; of equal ones, the first; NaN if one is."""

mean: Final = Reducer("mean", _mean_of, _merged_mean, lambda state: float(_rounded(_summed(state)) / state[0]))
"""The sum of the values, as `total` has it, divided by how many there are."""

first: Final = Reducer("first", itemgetter(0), itemgetter(0))
"""The first value, in the order of the input."""

distinct: Final = Reducer("distinct", _different, lambda states: _different(chain.from_iterable(states)))
"""The different values, as a list in the order in which each came first; all NaN are one. They are hashable."""
