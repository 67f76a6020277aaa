"""Every mutant is noticed on the first seed that is known to show it, and told as a small story."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import Mutant, mutated


def simulate(mutant: Mutant, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", "seeds", "--seeds", "1", "--seed", str(mutant.seed)]
    return subprocess.run([*command, "--mutant", mutant.name, *options], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_promise_is_noticed(mutant: Mutant) -> None:
    ran = simulate(mutant, "--brief")
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.startswith(f"seed {mutant.seed}: ")


def test_a_violation_is_told_with_its_seed_few_faults_and_how_to_see_it_again() -> None:
    mutant = next(one for one in MUTANTS if one.name == "abort-another-jobs-uploads")
    told = simulate(mutant).stdout
    assert re.search(r"^  with \d faults?: S11: the open upload of winner", told, re.MULTILINE)
    assert re.search(rf"^  again: make simulate SEEDS=1 SEED={mutant.seed}$", told, re.MULTILINE)
    assert re.search(r"^1 seed from \d+: 1 violation; .* seeds/s; trace [0-9a-f]{16}$", told, re.MULTILINE)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_the_code_as_it_stands(mutant: Mutant) -> None:
    source = Path(f"{mutant.module.replace('.', '/')}.py").read_text()
    assert mutated(source, mutant) != source


def test_mutants_break_different_things() -> None:
    assert len({one.name for one in MUTANTS}) == len({(one.module, one.changes) for one in MUTANTS}) >= 20


def test_a_mutant_that_has_lost_its_place_says_so() -> None:
    with pytest.raises(ValueError, match="stands in nowhere 2 times"):
        mutated("a a", Mutant("lost", "nowhere", 1, (("a", "b"),)))
