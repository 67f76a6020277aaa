"""Cutting an iterable into batches, as services limit how much one request may carry."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield tuples of ``size`` items, the last one shorter (`itertools.batched`, which Python 3.11 lacks)."""
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch
