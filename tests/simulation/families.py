"""Families of scenarios in which certain faults are likely to meet."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

from s3mr.model.job import Phase
from tests.simulation.scenario import Scenario


def texts(random: Random, size_bytes: int, *, keys: int, skewed: bool) -> tuple[bytes, ...]:
    """Return objects of ``size_bytes`` in total, with ``key`` on most lines and a few empty lines."""
    objects = random.randint(1, 5)
    lines: list[list[bytes]] = [[] for _ in range(objects)]
    left = size_bytes
    while left > 0:
        key = 0 if skewed and random.random() < 0.8 else random.randrange(keys)
        line = b"\n" if random.random() < 0.05 else b"k%d\n" % key
        lines[random.randrange(objects)].append(line)
        left -= len(line)
    return tuple(b"".join(one).removesuffix(b"\n") if random.random() < 0.5 else b"".join(one) for one in lines)


def _contended(scenario: Scenario, random: Random) -> Scenario:
    """Two coordinators that pause again and again, and a person who cancels in between: races."""
    pauses, second_at_s = {"pause": random.choice((0.03, 0.1, 0.2))}, random.uniform(0, 2)
    cancel_at_s = random.uniform(0, 5) if random.random() < 0.7 else None
    if random.random() < 0.4:  # the second finds a job cancelled whose launch the first has logged
        second_at_s, cancel_at_s = random.uniform(0.5, 2), max(0.3, second_at_s - random.uniform(0, 0.3))
    return replace(
        scenario,
        waiting_s=60.0,
        second_coordinator_at_s=second_at_s,
        cancel_at_s=cancel_at_s,
        io_rates={**scenario.io_rates, "tick": pauses},
        rates={name: rate for name, rate in scenario.rates.items() if name not in ("flip", "truncate")},
    )


def _straggling(scenario: Scenario, random: Random) -> Scenario:
    """Many tasks, some of which never report, and an undisturbed coordinator: backups matter."""
    size_bytes = scenario.split_size_bytes * random.randint(12, 20)
    dying = random.random() < 0.3  # reported attempts, if the recorder dies
    lost = {random.choice(("lose-invocation", "lose-report")): random.choice((0.15, 0.3, 0.6))}
    hung = {"hang": 0.3} if random.random() < 0.5 else {}  # backups, too
    return replace(
        scenario,
        texts=texts(random, size_bytes, keys=scenario.keys, skewed=scenario.skewed),
        attempts=random.choice((1, 2, 4)),
        waiting_s=60.0,
        capacity=random.choice((1000, 1000, 4, 8, 10, 12)),
        skew_s=random.choice((0.0, 0.0, scenario.skew_s)),
        concurrency=1000,
        workers=None,
        io_rates={**{kind: {} for kind in scenario.io_rates}, "record": {"die-after": 0.2} if dying else {}},
        rates={} if dying else {**lost, **hung},
        storm=None,
        cancel_at_s=None,
        cancel_in=None,
        second_coordinator_at_s=None,
        stop_at_s=None,
        machine_dies_at_s=None,
        machine_dies_at_write=None,
    )


def _abandoned(scenario: Scenario, random: Random) -> Scenario:
    """Submitters that die or get false errors half-way, so jobs without a claim are driven beside others."""
    return replace(
        scenario,
        io_rates={**{kind: {} for kind in scenario.io_rates}, "person": {"die-after": 0.1, "late-effect": 0.1}},
        rates={"hang": 0.4},
        driven_early=random.random() < 0.4,
        heals_at_s=random.uniform(2, 15),
        rival_at_s=random.uniform(0, 15) if random.random() < 0.8 else None,
        storm=None,
        cancel_at_s=None,
        cancel_in=None,
        stop_at_s=None,
    )


def _throttled(scenario: Scenario, random: Random) -> Scenario:
    """Workers that meet a busy service: retries wait, and run out; or their coordinator often pauses."""
    lasts_s = random.choice((60.0, 700.0))
    calm = {kind: dict[str, float]() for kind in scenario.io_rates}
    if random.random() < 0.5:
        return replace(
            scenario,
            attempts=1,
            waiting_s=5.0,
            io_rates={**calm, "worker": {"refuse": 0.15}, "tick": {"pause": 0.25}},
            rates={"late-invocation": 0.5},
            storm=None,
            heals_at_s=240.0,
        )
    return replace(
        scenario,
        io_rates=calm,
        rates={},
        storm=(0.0, lasts_s),
        storm_at_workers=True,
        heals_at_s=lasts_s + 30.0,
        deadline_s=random.choice((40.0, 24 * 3600.0)),
        cancel_at_s=None,
    )


def _crowded(scenario: Scenario, random: Random) -> Scenario:
    """Capacity for one worker at a time, and some that are slow: others wait in vain."""
    return replace(
        scenario,
        attempts=random.choice((1, 2)),
        waiting_s=5.0,
        capacity=1000,
        concurrency=1,
        workers=None,
        io_rates={kind: {} for kind in scenario.io_rates},
        rates={"hang": 0.5},
        storm=None,
    )


def _resumed(scenario: Scenario, random: Random) -> Scenario:
    """Jobs that end once their map tasks have won, and are resumed; some of the results to adopt are damaged."""
    ends = random.choice(({"cancel_in": Phase.REDUCE}, {"rates": {"raise": 0.1}}, {"stop_at_s": random.uniform(0, 2)}))
    kinds = random.sample(("object_shrinks_at_s", "object_vanishes_at_s", "input_changes_at_s"), random.randint(0, 1))
    damages = {kind: random.uniform(0.5, 4) for kind in kinds}
    person = random.choice(({}, {"die-after": 0.1}, {"die-before": 0.05, "lose-answer": 0.05}))
    looks_at_s, heals_at_s, early = 3.0, random.uniform(4, 20), random.random() < 0.5
    if early:
        person = random.choice(({"pause": 0.3}, {"die-after": 0.1}))
        looks_at_s, heals_at_s = random.uniform(3, 15), heals_at_s + 15.0
    io_rates = {**{kind: {} for kind in scenario.io_rates}, "person": person}
    calm: dict[str, Any] = {"io_rates": io_rates, "rates": {}, "cancel_at_s": None}
    return replace(
        scenario,
        **{**calm, "resumes": True, "looks_at_s": looks_at_s, "heals_at_s": heals_at_s, **ends, **damages},
        driven_early=early,
    )


def _interrupted(scenario: Scenario, random: Random) -> Scenario:
    """Coordinators that die or are refused half-way, with small batches and many parts, and few other faults."""
    faults = random.sample(("die-before", "die-after", "lose-answer", "late-effect", "refuse", "partial"), 2)
    return replace(
        scenario,
        reducers=random.randint(3, 10),
        batch=random.choice((1, 2)),
        attempts=4,
        io_rates={**{kind: {} for kind in scenario.io_rates}, "tick": dict.fromkeys(faults, 0.03)},
        rates={"lose-report": 0.03},
        storm=None,
        deadline_s=24 * 3600.0,
        upload_vanishes_at_s=random.uniform(1, 8) if random.random() < 0.5 else None,
        rival_at_s=random.uniform(1, 10) if random.random() < 0.3 else None,
        cancel_at_s=random.uniform(0.2, 3) if random.random() < 0.2 else None,
    )


def _lost(scenario: Scenario, random: Random) -> Scenario:
    """One machine runs everything, and is lost. Its successor may be smaller, or find the job cancelled."""
    lost_at_s = random.uniform(0.3, 3)
    cancels = random.random() < 0.3
    return replace(
        scenario,
        io_rates={kind: {} for kind in scenario.io_rates},
        rates=random.choice(({}, {"lose-report": 0.2}, {"refuse-invocation": 0.1}, {"hang": 0.3})),
        machine_dies_at_s=lost_at_s if cancels or random.random() < 0.5 else None,
        machine_dies_at_write=random.randint(1, 15),
        room_after=random.choice((None, 1, 2)),
        cancel_at_s=lost_at_s - random.uniform(0, 0.1) if cancels else None,
        cancel_in=None,
        storm=None,
        stop_at_s=None,
        second_coordinator_at_s=None,
    )


def _lying(scenario: Scenario, random: Random) -> Scenario:
    """Workers that send false reports, and no other fault that could fail their job."""
    return replace(
        scenario,
        io_rates={kind: {} for kind in scenario.io_rates},
        rates={"lie": random.choice((0.1, 0.3)), "lose-report": 0.03},
        storm=None,
        cancel_at_s=None,
        cancel_in=None,
        stop_at_s=None,
    )


def _rivalling(scenario: Scenario, random: Random) -> Scenario:
    """Two jobs want one output, and pause between checking, claiming and filling it."""
    at = random.choice((("check",), ("create", "check_empty"), ("create", "check_empty"), ("begin_commit",)))
    return replace(
        scenario,
        io_rates={kind: {} for kind in scenario.io_rates},
        rates={},
        aimed=dict.fromkeys(at, "pause"),
        driven_early="create" in at,
        rival_at_s=random.uniform(0, 2),
        capacity=1000,
        concurrency=1000,
        workers=None,
        poison=False,
        mixed=False,
        heals_at_s=240.0,
        storm=None,
        cancel_at_s=None,
        cancel_in=None,
        stop_at_s=None,
        looks_at_s=None,
    )


def _belated(scenario: Scenario, random: Random) -> Scenario:
    """Attempts that are written late, when their task has won or its phase is over: zombies in the table."""
    return replace(
        scenario,
        io_rates={kind: {} for kind in scenario.io_rates},
        rates=random.choice(({}, {"lose-report": 0.1}, {"hang": 0.1})),
        aimed={"begin": random.choice(("slow", "slow", "late-effect"))},
        second_coordinator_at_s=random.uniform(0, 2),
        capacity=1000,
        concurrency=1000,
        workers=None,
        storm=None,
        cancel_at_s=None,
        cancel_in=None,
        stop_at_s=None,
    )


#: The share of all seeds that each family has.
FAMILIES: Final[tuple[tuple[float, Callable[[Scenario, Random], Scenario]], ...]] = (
    (0.1, _contended),
    (0.07, _straggling),
    (0.08, _abandoned),
    (0.04, _throttled),
    (0.02, _crowded),
    (0.06, _resumed),
    (0.08, _interrupted),
    (0.04, _lost),
    (0.02, _lying),
    (0.06, _rivalling),
    (0.03, _belated),
)
