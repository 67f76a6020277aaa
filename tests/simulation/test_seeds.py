"""Seeds of the simulator break no invariant, are exactly repeatable, and inject every kind of fault."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import pytest

from s3mr.model.job import Phase
from tests.simulation import sweep
from tests.simulation.drawing import draw
from tests.simulation.scenario import IO_FAULTS, OTHER_FAULTS
from tests.simulation.world import World

SEEDS = 500  # 100,000 at night
RANGES = [range(first, first + 250) for first in range(1, SEEDS, 250)]
SCHEDULED = (
    "clock-step", "second-coordinator", "stop", "change-input", "lose-object", "shorten-object", "lose-upload",
    "lose-machine",
)  # fmt: skip


@dataclass
class Results:
    """The results of some seeds."""

    broken: dict[int, str] = field(default_factory=dict)
    struck: set[str] = field(default_factory=set)
    ends: Counter[Phase] = field(default_factory=Counter)


@cache
def seen(seeds: range) -> Results:
    """Run the seeds once for all tests."""
    found = Results()
    for seed in seeds:
        outcome = World(draw(seed)).run()
        if outcome.violation:
            found.broken[seed] = outcome.violation
        found.struck.update(strike.fault for strike in outcome.strikes)
        found.ends.update(outcome.phases)
    return found


@pytest.mark.parametrize("seeds", RANGES, ids=str)
def test_invariants_hold(seeds: range) -> None:
    assert not seen(seeds).broken, "to show one: make simulate SEEDS=1 SEED=…"


def test_every_fault_strikes_and_jobs_reach_every_final_phase() -> None:
    struck = set().union(*(seen(seeds).struck for seeds in RANGES[:2]))
    ends = seen(RANGES[0]).ends + seen(RANGES[1]).ends
    assert struck == {*IO_FAULTS, *OTHER_FAULTS, *SCHEDULED}
    assert {phase for phase in ends if phase.terminal} == {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED}
    assert ends[Phase.SUCCEEDED] > 150


def test_the_same_seed_gives_the_same_trace_with_any_string_hash() -> None:
    code = (
        "from tests.simulation.drawing import draw; from tests.simulation.world import World;"
        "print([World(draw(seed)).run().digest for seed in range(40, 60)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("1", "2", "3")
    }
    assert len(printed) == 1


def test_a_job_survives_the_death_of_any_process_at_any_operation() -> None:
    outcomes = list(sweep.singles())
    assert len(outcomes) == len(sweep.points()) > 200
    assert not [outcome.violation for outcome in outcomes if outcome.violation]
    assert all(outcome.phases == (Phase.SUCCEEDED,) for outcome in outcomes)
