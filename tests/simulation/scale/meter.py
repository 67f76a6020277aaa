"""Measure sizes against AWS's limits, requests, CPU time by component, and peak memory."""

import time
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from s3mr import limits

T = TypeVar("T")

#: The limits of AWS (or of `limits`, if lower), by the measured quantity.
BOUNDS: Final = {
    "item, bytes": limits.ITEM_BYTES_MAX,
    "page of a query, bytes": limits.MIB,
    "items of a BatchWriteItem": 25,
    "BatchWriteItem, bytes": 16 * limits.MIB,
    "keys of a BatchGetItem": 100,
    "BatchGetItem, bytes": 16 * limits.MIB,
    "writes to one table partition, units in a second": 1_000,
    "reads of one table partition, units in a second": 3_000,
    "request of an attempt, bytes": limits.PAYLOAD_BYTES_MAX,
    "a destination's record, bytes": limits.PAYLOAD_BYTES_MAX,
    "state of the state machine, bytes": 256 * limits.KIB,
    "history of an execution, events": limits.HISTORY_EVENTS_MAX,
    "round of ticks, seconds": 900,
}


class Meter:
    """The largest value of each quantity, requests by component, and CPU seconds by component."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = dict.fromkeys(BOUNDS, 0)
        self.requests: Counter[str] = Counter()  # by "who service"
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        self._who, self._since_s = "others", time.process_time()

    def see(self, what: str, size: float) -> None:
        self.largest[what] = max(self.largest[what], size)

    def exceeded(self) -> list[str]:
        return [f"{what}: {self.largest[what]:,}" for what, bound in BOUNDS.items() if self.largest[what] > bound]

    @contextmanager
    def charging(self, who: str) -> Iterator[str]:
        """Charge CPU time to ``who``, and pause the account that is charged now.

        Yields the paused account.
        """
        before = self._switch(who)
        try:
            yield before
        finally:
            self._switch(before)

    def _switch(self, who: str) -> str:
        now_s = time.process_time()
        self.cpu_s[self._who] += now_s - self._since_s
        before, self._who, self._since_s = self._who, who, now_s
        return before


@dataclass(slots=True)
class Sample:
    """CPU seconds of a kind of call, and its peak memory. A call counts for only one of them."""

    calls: int = 0
    timed: int = 0
    timed_s: float = 0.0
    traced: int = 0
    peak_bytes: int = 0

    def count(self, seconds: float, peak_bytes: int | None) -> None:
        """Count a call. ``peak_bytes`` is not None if its memory was traced, which makes it slow."""
        self.calls += 1
        if peak_bytes is None:
            self.timed += 1
            self.timed_s += seconds
        else:
            self.traced += 1
            self.peak_bytes = max(self.peak_bytes, peak_bytes)

    @property
    def each_s(self) -> float:
        """Return the CPU seconds of one call, over the calls that were timed."""
        return self.timed_s / self.timed if self.timed else 0.0


def traced(step: Callable[[], T]) -> tuple[int, T]:
    """Return how much memory Python allocated for ``step`` at its peak, and its result."""
    tracemalloc.start()
    try:
        answer = step()
        return tracemalloc.get_traced_memory()[1], answer
    finally:
        tracemalloc.stop()
