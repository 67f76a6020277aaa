"""Faults and their times: drawn from a seed, numbered as they strike, and stopped in the end."""

from bisect import bisect
from collections import Counter
from itertools import accumulate
from random import Random
from typing import Final, NamedTuple

from tests.simulation.loop import START, Loop
from tests.simulation.scenario import Scenario

AIMED: Final = 0.5  # how often a fault that a scenario aims at one operation strikes


class Strike(NamedTuple):
    """A fault that struck: its number, time, name and place."""

    number: int
    at_s: float
    fault: str
    where: str


class Faults:
    """Draws faults. While a failure is shrunk, only faults with ``allowed`` numbers strike."""

    def __init__(self, scenario: Scenario, loop: Loop, allowed: frozenset[int] | None = None) -> None:
        self.struck: list[Strike] = []
        self.counts: Counter[str] = Counter()
        self.healed = False
        self._loop = loop
        self._allowed = allowed
        self._number = 0
        self._random = Random(f"s3mr/{scenario.seed}/faults")
        self._latency = Random(f"s3mr/{scenario.seed}/latency")
        self._clocks = Random(f"s3mr/{scenario.seed}/clocks")
        self._aimed = scenario.aimed
        self._skew_s, self._steps = scenario.skew_s, scenario.clock_steps
        self._rates = scenario.rates
        self._storm, self._storm_everywhere = scenario.storm, not scenario.storm_at_workers
        self._io = {
            kind: (list(rates), list(accumulate(rates.values()))) for kind, rates in scenario.io_rates.items() if rates
        }

    def strikes(self, fault: str, where: str) -> bool:
        """Return whether ``fault`` strikes on this occasion."""
        rate = self._rates.get(fault)
        if rate is None or self.healed or self._random.random() >= rate:
            return False
        return self._strike(fault, where)

    def of_io(self, kind: str, where: str, method: str) -> str | None:
        """Return the fault that hits an operation of such a process, if any."""
        if self.healed:
            return None
        aimed = self._aimed.get(method)
        if aimed is not None and self._random.random() < AIMED:
            return aimed if self._strike(aimed, where) else None
        storms = self._storm is not None and self._storm[0] <= self._loop.now - START < self._storm[1]
        if storms and (self._storm_everywhere or kind == "worker"):
            return "refuse" if self._strike("refuse", where) else None
        names_and_rates = self._io.get(kind)
        if names_and_rates is None:
            return None
        names, bounds = names_and_rates
        drawn = self._random.random()
        if drawn >= bounds[-1]:
            return None
        fault = names[bisect(bounds, drawn)]
        return fault if self._strike(fault, where) else None

    def scheduled(self, fault: str, where: str) -> bool:
        """Return whether a fault that the scenario schedules for this moment strikes."""
        return not self.healed and self._strike(fault, where)

    def latency_s(self) -> float:
        """Return how long an operation takes: 5 to 40 ms, and 400 times as long for one in a thousand."""
        latency_s = 0.005 + 0.035 * self._latency.random()
        if not self.healed and self._latency.random() < 0.001 and self._strike("slow", "anywhere"):
            return 400 * latency_s
        return latency_s

    def clock_steps(self, where: str) -> float | None:
        """Return the new offset of a clock, if it is set just before it is read."""
        if self.healed or not self._steps or self._clocks.random() >= self._steps:
            return None
        ahead_s = self._clocks.uniform(-self._skew_s, self._skew_s)
        return ahead_s if self._strike("clock-step", where) else None

    def between(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def below(self, number: int) -> int:
        return self._random.randrange(number)

    def shuffled(self, items: list[int]) -> list[int]:
        """Return ``items`` in random order."""
        return self._random.sample(items, len(items))

    def _strike(self, fault: str, where: str) -> bool:
        self._number += 1
        if self._allowed is not None and self._number not in self._allowed:
            return False
        self.struck.append(Strike(self._number, self._loop.now - START, fault, where))
        self.counts[fault] += 1
        return True
