"""Every mutant is detected by a known seed, and reported as a short story."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import Mutant, mutated


@pytest.fixture(scope="module")
def verdicts() -> dict[str, str]:
    """The simulator's verdict on each mutant with its own seed, from one command that forks for each mutant."""
    command = [sys.executable, "-m", "tests.simulation", "mutants", "--known"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not ran.stderr
    return dict(line.split(maxsplit=1) for line in ran.stdout.splitlines())


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_promise_is_detected(mutant: Mutant, verdicts: dict[str, str]) -> None:
    assert verdicts[mutant.name].startswith(f"seed {mutant.seed}: ")


def test_an_undetected_mutant_is_reported_as_a_survivor() -> None:
    harmless = Mutant("harmless", "s3mr.policy.retries", 1, ())
    code = "\n".join((
        "from tests.simulation.forks import first_violations",
        "from tests.simulation.mutation import Mutant",
        f"print(list(first_violations([{harmless!r}], lambda one: [one.seed], processes=1)))",
    ))  # fmt: skip
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"[({harmless!r}, None)]"


def test_a_violation_is_reported_with_its_seed_few_faults_and_the_command_to_repeat_it() -> None:
    mutant = next(one for one in MUTANTS if one.name == "abort-another-jobs-uploads")
    command = [sys.executable, "-m", "tests.simulation", "seeds", "--seeds", "1", "--seed", str(mutant.seed)]
    printed = subprocess.run([*command, "--mutant", mutant.name], capture_output=True, text=True, check=False).stdout
    assert re.search(r"^  with \d faults?: S11: the open upload of winner", printed, re.MULTILINE)
    assert re.search(rf"^  again: make simulate SEEDS=1 SEED={mutant.seed}$", printed, re.MULTILINE)
    assert re.search(r"^1 seed from \d+: 1 violation; .* seeds/s; trace [0-9a-f]{16}$", printed, re.MULTILINE)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_matches_the_current_code(mutant: Mutant) -> None:
    source = Path(f"{mutant.module.replace('.', '/')}.py").read_text()
    assert mutated(source, mutant) != source


def test_mutants_differ() -> None:
    assert len({one.name for one in MUTANTS}) == len({(one.module, one.changes) for one in MUTANTS}) >= 20


def test_a_mutant_that_no_longer_matches_the_code_is_an_error() -> None:
    with pytest.raises(ValueError, match="occurs in nowhere 2 times"):
        mutated("a a", Mutant("lost", "nowhere", 1, (("a", "b"),)))
