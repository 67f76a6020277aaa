"""Ready-made reducers: ``Job(map=words, reduce=reducers.total)``.

Each is a plain function ``(key, values)`` that yields one pair. A job that uses one needs no combiner: map tasks fold
the values of a key to a small state, at the speed of Python's built-in functions, and reduce tasks merge the states.
The result is always the same as that of the plain function over all values.
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

_EXACT_MAX: Final = 2**53  # ints up to here convert exactly to floats
MapValue: TypeAlias = Any  # a value that map yields; the docstring of each reducer says which types it accepts
State: TypeAlias = Any  # a value that can be serialized for the shuffle


@dataclass(frozen=True, slots=True, eq=False)
class Reducer:
    """A reduce function that can be applied in parts.

    ``fold`` turns one or more values into a state. ``merge`` turns several states into one, in the order of their
    values. ``finish`` turns the last state into the result. ``step`` is optional, for reducers whose ints are their own
    state and have no order: it turns two ints into one, and never raises. You can call a reducer like any function of
    ``(key, values)``.
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
    """Return a reducer that lists the ``n`` largest values, largest first. Equal values keep their order.

    The values must be of one type that has an order, and not NaN. To sort by a number, put it first: ``(size, name)``.
    """
    if type(n) is not int or n < 1:
        raise ValueError(f"top(n): n must be an int of at least one, not {n!r}")

    def largest(values: Iterable[MapValue]) -> State:
        values = list(values)
        if _has_nan(values):
            raise ValueError("a value is NaN: NaN has no order, so leave it out")
        return heapq.nlargest(n, values)

    return Reducer(f"top({n})", largest, lambda states: largest(chain.from_iterable(states)))


def _sum(values: Sequence[MapValue]) -> State:
    """Return the exact sum: an int, or ``(int, float, …)``, a tuple whose exact sum it is."""
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
    tuples = [(state,) if type(state) is int else state for state in states]
    return sum(map(itemgetter(0), tuples)), *_exact([part for state in tuples for part in state[1:]])


def _exact(values: list[float]) -> list[float]:
    """Return a few floats with exactly the same sum: the rounded sum, then the rest, and so on."""
    parts: list[float] = []
    try:
        while part := fsum(chain(values, (-one for one in parts))):
            parts.append(part)
            if not isfinite(part):
                return [part]
    except (OverflowError, ValueError):  # an intermediate sum is too large, or there are infinities of both signs
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
    """Return the state of `total` inside that of `mean`, whose first item is the number of values."""
    return state[1] if len(state) == 2 else state[1:]


def _different(values: Iterable[MapValue]) -> State:
    return list(dict.fromkeys(nan if value != value else value for value in values))  # noqa: PLR0124 - only NaN differs


total: Final = Reducer("total", _sum, _merged_sum, _rounded, add)
"""The sum of the values, which must be int or float. Floats are added exactly, in any order, and rounded once, unless
an intermediate sum is larger than the largest float."""

count: Final = Reducer("count", len, sum)
"""The number of values, of any type."""

minimum: Final = Reducer("minimum", partial(_least, min), partial(_least, min), step=min)
"""The smallest value. If several are equal, the first one. NaN if any value is NaN."""

maximum: Final = Reducer("maximum", partial(_least, max), partial(_least, max), step=max)
"""The largest value. If several are equal, the first one. NaN if any value is NaN."""

mean: Final = Reducer("mean", _mean_of, _merged_mean, lambda state: float(_rounded(_summed(state)) / state[0]))
"""The sum of the values, as computed by `total`, divided by their number."""

first: Final = Reducer("first", itemgetter(0), itemgetter(0))
"""The first value, in the order of the input."""

distinct: Final = Reducer("distinct", _different, lambda states: _different(chain.from_iterable(states)))
"""The distinct values, which must be hashable, as a list in the order of their first occurrence. All NaN are equal."""
