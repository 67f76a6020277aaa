"""Chaos runs: their number, their seeds, and how to repeat one.

``CHAOS_RUNS`` sets the number of runs (default 4; 50 in the nightly run), ``CHAOS_SEED`` the seed of the first (default
0). The test that kills only workers has half as many runs, because workers also die in the test that kills commands.
"""

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.chaos.place import Place
from tests.serving import application, serving


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first, runs = int(os.environ.get("CHAOS_SEED", "0")), int(os.environ.get("CHAOS_RUNS", "4"))
        count = runs if "turnstile" in metafunc.fixturenames else (runs + 1) // 2
        metafunc.parametrize("seed", range(first, first + count))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and "seed" in item.fixturenames:
        seed, test = item.callspec.params["seed"], item.nodeid.partition("[")[0]
        command = f"CHAOS_SEED={seed} CHAOS_RUNS=1 {sys.executable} -m pytest {test}"
        report.sections.append((f"seed {seed}; to repeat this run", command))
    return report


@pytest.fixture(scope="module")
def services() -> Iterator[str]:
    """The URL of services that persist. They admit every caller: requests come through a turnstile."""
    with serving(application()) as url:
        yield url


@pytest.fixture
def place(
    tmp_path: Path, services: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Place]:
    if not Path("/proc/self/cwd").exists():
        pytest.skip("looks for processes in /proc; run on Linux")
    own = f"own-{abs(hash(request.node.name)) % 10**8}"
    for name, value in {
        "AWS_ENDPOINT_URL": services,
        "AWS_ACCESS_KEY_ID": "users",
        "AWS_SECRET_ACCESS_KEY": "own",
        "AWS_REGION": "us-east-1",
        "S3MR_BUCKET": own,
        "S3MR_TABLE": own,
    }.items():
        monkeypatch.setenv(name, value)
    with Place(tmp_path, services, own).made() as place:
        yield place
