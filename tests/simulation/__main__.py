"""``python -m tests.simulation``: run seeds, a sweep, or the mutants; exit 1 on a violation (mutants: a survivor)."""

import argparse
import sys
import time

from tests.simulation.forks import first_violations
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import install

MUTANT_SEEDS = 2_000


def main() -> int:
    """Parse, call, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("what", choices=["seeds", "singles", "pairs", "mutants"])
    parser.add_argument("--seeds", type=int, default=3_000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--brief", action="store_true", help="tell no violation as a story")
    parser.add_argument("--mutant", choices=[one.name for one in MUTANTS], help="break this first")
    parser.add_argument("--known", action="store_true", help="give each mutant but the seed that is known to notice it")
    asked = parser.parse_args()
    if asked.mutant:
        install(next(one for one in MUTANTS if one.name == asked.mutant))
    if asked.what == "mutants":
        return _mutants(asked.processes, known=asked.known)
    if asked.what == "seeds":
        from tests.simulation import seeds

        chosen = range(asked.seed, asked.seed + asked.seeds)
        stories_max = 0 if asked.brief else seeds.STORIES_MAX
        return min(1, seeds.run(chosen, processes=asked.processes, stories_max=stories_max))
    return _sweep(asked.what, asked.processes)


def _sweep(what: str, processes: int) -> int:
    from tests.simulation import sweep
    from tests.simulation.seeds import counted

    began_at, runs, violations = time.perf_counter(), 0, 0
    for outcome in sweep.singles() if what == "singles" else sweep.pairs(processes=processes):
        runs += 1
        if outcome.violation is not None:
            violations += 1
            print(outcome.violation)
    speed = runs / (time.perf_counter() - began_at)
    print(f"{counted(runs, 'run')} with deaths: {counted(violations, 'violation')}; {speed:.0f} runs/s")
    return min(1, violations)


def _mutants(processes: int, *, known: bool) -> int:
    """Show for each mutant the first seed that detects it, of its known ones or of many."""
    survivors = 0
    many = range(1, MUTANT_SEEDS + 1)
    found = first_violations(MUTANTS, lambda one: [one.seed] if known else many, processes=processes)
    for mutant, noticed in found:
        survivors += noticed is None
        verdict = f"seed {noticed[0]}: {noticed[1].splitlines()[0][:120]}" if noticed else "survives"
        print(f"{mutant.name:40} {verdict}", flush=True)
    print(f"{len(MUTANTS)} mutants: {survivors} survive {'the seeds known' if known else f'{MUTANT_SEEDS:,} seeds'}")
    return min(1, survivors)


if __name__ == "__main__":
    sys.exit(main())
