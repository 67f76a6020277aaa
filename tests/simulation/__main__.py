"""``python -m tests.simulation``: run seeds, a sweep, or the mutants; exit 1 if an invariant was broken (or kept)."""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import Mutant, install

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
    asked = parser.parse_args()
    if asked.mutant:
        install(next(one for one in MUTANTS if one.name == asked.mutant))
    if asked.what == "mutants":
        return _mutants(asked.processes)
    if asked.what == "seeds":
        from tests.simulation import seeds

        chosen = range(asked.seed, asked.seed + asked.seeds)
        told_max = 0 if asked.brief else seeds.TOLD_MAX
        return min(1, seeds.run(chosen, processes=asked.processes, told_max=told_max))
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


def _mutants(processes: int) -> int:
    """Show for each mutant the first seed that notices it; so many are looked for at once."""
    survivors = 0
    with ThreadPoolExecutor(processes) as pool:
        for mutant, ran in zip(MUTANTS, pool.map(_first_seed, MUTANTS), strict=True):
            survivors += ran.returncode != 0
            print(f"{mutant.name:40} {ran.stdout.strip() or ran.stderr.strip()[-200:]}", flush=True)
    print(f"{len(MUTANTS)} mutants: {survivors} survive {MUTANT_SEEDS:,} seeds")
    return min(1, survivors)


def _first_seed(mutant: Mutant) -> subprocess.CompletedProcess[str]:
    """Look for the first seed that notices a mutant, in a process of its own; it fails if there is none."""
    code = (
        "import sys; from tests.simulation import mutants, mutation;"
        "mutation.install(mutants.named(sys.argv[1]));"
        "from tests.simulation.seeds import first_violation;"
        f"found = first_violation(range(1, {MUTANT_SEEDS + 1}));"
        "print(found.seed, found.violation.splitlines()[0][:120]) if found else sys.exit('survives')"
    )
    return subprocess.run([sys.executable, "-c", code, mutant.name], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
