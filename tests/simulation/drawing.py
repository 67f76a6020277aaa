"""Draw the scenario of one seed, from all possible faults or from a family of them."""

from dataclasses import replace
from random import Random
from typing import Any, Final

from s3mr.model.job import Phase
from tests.simulation.families import FAMILIES, texts
from tests.simulation.scenario import IO_FAULTS, OTHER_FAULTS, Scenario

INTENSITIES: Final = (0.01, 0.03, 0.1, 0.3)


def draw(seed: int) -> Scenario:
    """Return the scenario of ``seed``."""
    random = Random(f"s3mr/{seed}")
    map_tasks, reducers = _shape(random)
    split_size_bytes = random.choice((7, 20, 48))
    keys, skewed = random.choice((1, 3, 12)), random.random() < 0.3
    calm = random.random() < 0.1  # without faults
    heals_at_s = random.uniform(5, 240)
    few = random.random() < 0.5  # faults of one or two kinds only, so that each also meets the absence of the others
    names = [*IO_FAULTS, *OTHER_FAULTS]
    chosen = () if calm else random.sample(names, random.randint(1, 2) if few else random.randint(3, len(names)))
    rates = {name: random.choice(INTENSITIES) for name in chosen}
    for name in ("flip", "truncate", "lie"):  # they end a job: rarely, or nothing else would ever be seen
        if random.random() < 0.7:
            rates.pop(name, None)
    scenario = Scenario(
        seed=seed,
        texts=texts(random, map_tasks * split_size_bytes, keys=keys, skewed=skewed),
        split_size_bytes=split_size_bytes,
        reducers=reducers,
        layout=random.choice(("split", "packed")),
        combining=random.choice(("sum", "sum-combined", "join")),
        own_partition=random.random() < 0.3,
        keys=keys,
        skewed=skewed,
        attempts=random.choice((1, 2, 4, 4)),
        waiting_s=random.choice((5.0, 60.0)),
        capacity=random.choice((1, 3, 1000, 1000)),
        concurrency=random.choice((1, 4, 1000, 1000)),
        workers=random.choice((None, None, 1, 2)),
        batch=random.choice((1, 2, 3, 100)),
        segment=random.choice((2, 3, 1000)),
        keeps=random.random() < 0.05,
        deadline_s=random.choice((40.0, 24 * 3600.0)) if random.random() < 0.1 else 24 * 3600.0,
        mixed=random.random() < 0.03,
        poison=random.random() < 0.03,
        io_rates={kind: _io_rates(random, rates) for kind in ("person", "tick", "record", "worker")},
        rates={name: rate for name, rate in rates.items() if name in OTHER_FAULTS},
        skew_s=random.choice((0.0, 0.0, 8.0)) if not calm else 0.0,
        heals_at_s=heals_at_s,
        cancel_in=random.choice((Phase.REDUCE, Phase.COMMITTING, Phase.COMMITTING)) if random.random() < 0.06 else None,
        resumes=random.random() < 0.5,
        cleans=random.random() < 0.3,
        **({} if calm else _external_events(random)),
    )
    family = random.random()
    if not calm:
        for share, changed in FAMILIES:
            if family < share:
                scenario = changed(scenario, random)
                break
            family -= share
    return replace(scenario, **_beside(scenario))


def _beside(scenario: Scenario) -> dict[str, Any]:
    """Return fields that are drawn for any family."""
    random = Random(f"s3mr/{scenario.seed}/beside")
    reducers = scenario.reducers
    return {
        "laptop": random.random() < 0.3,
        "clock_steps": random.choice((0.0, 0.1, 0.5)) if scenario.skew_s else 0.0,
        "rival_elsewhere": random.random() < 0.4,
        "rival_reducers": random.choice([one for one in (0, 1, 2, reducers + 1, reducers + 3) if one != reducers]),
    }


def _external_events(random: Random) -> dict[str, Any]:
    """Return the times of external events around the job, if any."""

    def at(chance: float, until_s: float) -> float | None:
        return random.uniform(0, until_s) if random.random() < chance else None

    storm_at_s = at(0.1, 30)
    return {
        "storm": None if storm_at_s is None else (storm_at_s, storm_at_s + random.uniform(1, 60)),
        "storm_at_workers": random.random() < 0.5,
        "cancel_at_s": at(0.12, 20),
        "second_coordinator_at_s": at(0.25, 10),
        "stop_at_s": at(0.05, 6),
        "rival_at_s": at(0.08, 10),
        "looks_at_s": at(0.2, 60),
        "input_changes_at_s": at(0.05, 2),
        "object_vanishes_at_s": at(0.03, 5),
        "object_shrinks_at_s": at(0.03, 5),
        "upload_vanishes_at_s": at(0.03, 8),
        "machine_dies_at_s": at(0.03, 8),
        "machine_dies_at_write": random.randint(1, 15) if random.random() < 0.05 else None,
    }


def _shape(random: Random) -> tuple[int, int]:
    """Return a job's shape, mostly a small one: nearly every fault of a large one can also happen in a small one."""
    size = random.random()
    few, some, many = (0, 4), (5, 16), (17, 64)
    of = few if size < 0.8 else some if size < 0.97 else many
    map_tasks = random.randint(*of) or random.randint(*of)
    reducers = random.randint(0, 3) if random.random() < 0.85 else random.randint(4, 16)
    return map_tasks, reducers


def _io_rates(random: Random, rates: dict[str, float]) -> dict[str, float]:
    """Return the rates of the I/O faults that hit one kind of process, which may be empty."""
    spared = random.random() < 0.3
    return {} if spared else {name: rates[name] / 3 for name in IO_FAULTS if name in rates}
