"""Kill every process at every operation of one job, before and after its effect; or at every pair of operations."""

import multiprocessing
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Final

from tests.simulation.ports import Deaths
from tests.simulation.scenario import Scenario
from tests.simulation.world import SeedOutcome, World

WAYS: Final = ("die-before", "die-after")
_TEXT: Final = b"k0\nk1\nk2\nk3\nk0\nk1\n"

#: Four map tasks and three reducers, without any other fault.
JOB: Final = Scenario(
    seed=0,
    texts=(_TEXT, _TEXT[3:], _TEXT[6:], _TEXT[9:]),
    split_size_bytes=32,
    reducers=3,
    layout="packed",
    combining="join",
    own_partition=False,
    keys=4,
    skewed=False,
    batch=2,
    segment=3,
    io_rates={kind: {} for kind in ("person", "tick", "record", "worker")},
    heals_at_s=300.0,
)


def operations() -> int:
    """Return how many operations of tick, record and workers the job takes if no process dies."""
    deaths = Deaths()
    World(JOB, deaths=deaths).run()
    return deaths.operations


def points() -> list[tuple[int, str]]:
    """Return every point at which a process can die: the operation's number, and before or after its effect."""
    return [(number, way) for number in range(1, operations() + 1) for way in WAYS]


def singles() -> Iterator[SeedOutcome]:
    """Yield the job's outcome for each single death."""
    return map(_with_deaths, ([point] for point in points()))


def pairs(*, processes: int) -> Iterator[SeedOutcome]:
    """Yield the job's outcome for each pair of deaths. The second is counted in the run after the first."""
    chosen: Iterable[list[tuple[int, str]]] = map(list, combinations(points(), 2))
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(_with_deaths, chosen, chunksize=50)


def _with_deaths(chosen: list[tuple[int, str]]) -> SeedOutcome:
    return World(JOB, deaths=Deaths(dict(chosen))).run()
