"""Divide an iterable into batches, because services limit the items in one request."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield tuples of ``size`` items; the last may be shorter. Python 3.11 has no `itertools.batched`."""
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch
