"""Run many seeds, on several processes, and report the findings."""

import hashlib
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from tests.simulation.drawing import draw
from tests.simulation.shrinking import shrink
from tests.simulation.world import SeedOutcome, World

STORIES_MAX: Final = 3  # violations that are shrunk and reported in full
TRACE_LINES_MAX: Final = 150
CHUNK_SEEDS: Final = 25


def run(seeds: range, *, processes: int = 1, stories_max: int = STORIES_MAX) -> int:
    """Run ``seeds``, print violations (the first ones as stories) and a summary; return the number of violations."""
    began_at = time.perf_counter()
    jobs: Counter[str] = Counter()
    faults = operations = violations = 0
    digest = hashlib.blake2b(digest_size=8)
    for outcome in _outcomes(seeds, processes):
        jobs.update(str(phase) for phase in outcome.phases)
        faults += len(outcome.strikes)
        operations += outcome.operations
        digest.update(outcome.digest.encode())
        if outcome.violation is not None:
            violations += 1
            print(f"seed {outcome.seed}: {outcome.violation}", flush=True)
            if violations <= stories_max:
                print("\n".join(story(outcome.seed)), flush=True)
    took_s = time.perf_counter() - began_at
    ends = ", ".join(f"{count:,} {phase}" for phase, count in sorted(jobs.items()))
    print(
        f"{counted(len(seeds), 'seed')} from {seeds.start}: {counted(violations, 'violation')}; jobs: {ends}; "
        f"{counted(faults, 'fault')} in {operations:,} operations; {len(seeds) / took_s:.0f} seeds/s; "
        f"trace {digest.hexdigest()}"
    )
    return violations


def story(seed: int) -> Iterator[str]:
    """Yield lines that report how a seed fails, with as few faults as needed."""
    scenario = draw(seed)
    small = shrink(scenario, World(scenario, keeps_trace=True).run())
    yield f"  with {counted(len(small.strikes), 'fault')}: {small.violation}"
    yield from (f"  {at_s:10.3f} {fault}: {where}" for _, at_s, fault, where in small.strikes)
    yield f"  the last of {len(small.trace):,} operations:"
    yield from (f"  {line}" for line in small.trace[-TRACE_LINES_MAX:])
    yield f"  again: make simulate SEEDS=1 SEED={seed}"


def counted(number: int, what: str) -> str:
    """Return a number with its noun: "0 seeds", "1 seed", "3,000 seeds"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _outcomes(seeds: Iterable[int], processes: int) -> Iterator[SeedOutcome]:
    """Yield outcomes in the order of the seeds."""
    if processes == 1:
        yield from map(_simulate, seeds)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap(_simulate, seeds, chunksize=CHUNK_SEEDS)


def _simulate(seed: int) -> SeedOutcome:
    return World(draw(seed)).run()


def first_violation(seeds: Iterable[int]) -> SeedOutcome | None:
    """Return the outcome of the first seed that breaks an invariant."""
    return next(islice((one for one in map(_simulate, seeds) if one.violation is not None), 1), None)
