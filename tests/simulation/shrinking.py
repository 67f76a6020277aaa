"""Shrink a failure: find a small set of faults that still breaks the same invariant.

Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), the ddmin algorithm.
"""

from collections.abc import Callable
from typing import Final

from tests.simulation.scenario import Scenario
from tests.simulation.world import SeedOutcome, World

RUNS_MAX: Final = 400


def shrink(scenario: Scenario, outcome: SeedOutcome) -> SeedOutcome:
    """Return an outcome of the same scenario that breaks the same invariant with as few faults as could be found."""
    invariant = _invariant(outcome)
    best, runs = outcome, 0

    def breaks(numbers: list[int]) -> bool:
        nonlocal best, runs
        runs += 1
        found = World(scenario, allowed=frozenset(numbers), keeps_trace=True).run()
        same = _invariant(found) == invariant
        if same:
            best = found
        return same

    _ddmin([strike.number for strike in outcome.strikes], breaks, lambda: runs < RUNS_MAX)
    return best


def _ddmin(numbers: list[int], breaks: Callable[[list[int]], bool], go_on: Callable[[], bool]) -> None:
    """Call ``breaks`` with smaller and smaller subsets of ``numbers``; keep a subset for which it returns true."""
    if breaks([]):
        return
    parts = 2
    while len(numbers) > 1 and go_on():
        size = -(-len(numbers) // parts)
        without = [numbers[:at] + numbers[at + size :] for at in range(0, len(numbers), size)]
        smaller = next((rest for rest in without if go_on() and breaks(rest)), None)
        if smaller is not None:
            numbers, parts = smaller, max(parts - 1, 2)
        elif parts >= len(numbers):
            return
        else:
            parts = min(2 * parts, len(numbers))
    breaks(numbers)


def _invariant(outcome: SeedOutcome) -> str | None:
    return outcome.violation and outcome.violation.partition(":")[0]
