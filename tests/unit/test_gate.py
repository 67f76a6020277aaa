"""The gate fails if any stage fails, and reports the time and result of each."""

import runpy
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

GATE: Any = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "gate.py"))


def command(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def ran(folder: Path, *tracks: dict[str, tuple[str, ...]]) -> int:
    gate = GATE["Gate"](folder)
    for started in [gate.start(track) for track in tracks]:
        started.join()
    return int(gate.report())


def test_a_track_ends_with_the_stage_that_fails_and_the_gate_fails_with_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = {"lint": command("print('a mistake'); raise SystemExit(1)"), "types": command("")}
    assert ran(tmp_path, first, {"tests": command("")}) == 1
    printed = capfd.readouterr().out
    assert "== lint\na mistake\n" in printed
    outcomes = [line.split()[2:] for line in printed.splitlines() if " s  " in line]
    assert outcomes == [["failed", "lint"], ["not", "run", "types"], ["passed", "tests"]]


def test_tracks_run_side_by_side(tmp_path: Path) -> None:
    met = "from pathlib import Path\nPath({own!r}).touch()\nwhile not Path({other!r}).exists():\n    pass"
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    tracks = ({"1": command(met.format(own=one, other=two))}, {"2": command(met.format(own=two, other=one))})
    assert ran(tmp_path, *tracks) == 0


def test_every_test_has_a_stage_and_tests_that_share_a_cloud_have_their_own_process() -> None:
    (deployed,), (others,) = GATE["DEPLOYED"].values(), GATE["OTHERS"].values()
    assert deployed[-1] == "tests/deployed"
    assert "-n" not in deployed
    ignored = {after for option, after in pairwise(others) if option == "--ignore"}
    assert ignored == {"tests/deployed", "tests/emulator"}, "the emulator runs every night"


def test_the_gate_checks_format_lint_types_imports_and_the_site() -> None:
    assert list(GATE["CHECKS"]) == ["format", "lint", "types", "imports", "site"]
