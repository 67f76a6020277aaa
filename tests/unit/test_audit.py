"""``make audit`` checks every locked package, and fails if a package cannot be checked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AUDIT = ROOT / ".ci" / "audit.py"
LOCKS = sorted([*(ROOT / ".ci").glob("*.txt"), ROOT / "lambdas" / "requirements.txt"])
ASKED = """#!/bin/sh
echo "$@" >> {folder}/asked
for last; do :; done
cat "$last" >> {folder}/packages
test -z "{fails}" || ! grep -q '^{fails}==' "$last"
"""


@pytest.fixture
def fake_audit(tmp_path: Path) -> Path:
    """In place of pip-audit: records its requests, and finds nothing."""
    return written(tmp_path, fails="")


def written(folder: Path, *, fails: str) -> Path:
    path = folder / "pip-audit"
    path.write_text(ASKED.format(folder=folder, fails=fails))
    path.chmod(0o755)
    return path


def audit(pip_audit: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(AUDIT), str(pip_audit)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_every_package_of_every_lock_is_checked_whatever_platform_it_is_for(fake_audit: Path) -> None:
    done = audit(fake_audit)
    assert done.returncode == 0, done.stderr
    asked = (fake_audit.parent / "packages").read_text().splitlines()
    text = "\n".join(lock.read_text(encoding="utf-8") for lock in LOCKS)
    locked = {
        f"{name.lower()}=={version}" for name, version in re.findall(r"^([\w.-]+)==([\w.+-]+)", text, re.MULTILINE)
    }
    assert set(asked) == locked
    assert len(asked) == len(locked)
    assert {"boto3", "pywin32", "aws-sam-cli", "pip-audit", "aws-lambda-powertools"} <= {
        line.partition("==")[0] for line in asked
    }
    assert done.stdout == f"passed: {len(locked)} packages, none with a known vulnerability\n"


def test_a_package_that_cannot_be_checked_is_not_skipped(fake_audit: Path) -> None:
    audit(fake_audit)
    for options in (fake_audit.parent / "asked").read_text().splitlines():
        assert "--strict" in options.split()
        assert "--ignore-vuln" not in options


@pytest.mark.parametrize("package", ["boto3", "networkx", "aws-sam-cli", "xxhash"])
def test_one_failure_fails_the_audit_and_the_other_packages_are_still_checked(tmp_path: Path, package: str) -> None:
    done = audit(written(tmp_path, fails=package))
    assert (done.returncode, done.stdout) == (1, "failed\n")
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", "\n".join(map(Path.read_text, LOCKS)), re.MULTILINE):
        versions.setdefault(name.lower(), set()).add(version)
    rounds = max(map(len, versions.values()))  # each checks one version of a package
    assert len((tmp_path / "asked").read_text().splitlines()) == rounds > 1


def test_a_line_of_a_lock_without_a_version_is_a_failure(tmp_path: Path, fake_audit: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "lambdas").mkdir()
    for lock in (
        ".ci/requirements.txt",
        ".ci/sam.txt",
        ".ci/audit.txt",
        ".ci/emulator.txt",
        ".ci/docs.txt",
        "lambdas/requirements.txt",
    ):
        (tmp_path / lock).write_text(
            "# a comment\n./lambdas\nboto3==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:0\n"
        )
    (tmp_path / ".ci" / "audit.py").write_bytes(AUDIT.read_bytes())
    command = [sys.executable, str(tmp_path / ".ci" / "audit.py"), str(fake_audit)]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    with (tmp_path / ".ci" / "sam.txt").open("a") as lock_file:
        lock_file.write("requests>=2\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "not a package with a version: requests>=2" in done.stderr
