"""What tests of all kinds share."""

import logging
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pytest

from s3mr.local.cloud import EmbeddedCloud
from tests.slow import examples
from tests.warm_commands import WarmCommands

EXAMPLES: Final = 100  # default number of examples of a property
TESTS: Final = Path(__file__).parent
ORDER: Final = ("chaos", "simulation", "docs", "integration", "contract", "unit")


def pytest_configure() -> None:
    """Say on how many examples properties are tried; and let what tests start hear Ctrl-C.

    What a shell runs in the background ignores Ctrl-C, and so do all its children.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request costs as much as the request
    # No deadline for an example: a busy machine is not an error.
    hypothesis.settings.register_profile("s3mr", max_examples=examples(EXAMPLES), deadline=None)
    hypothesis.settings.load_profile("s3mr")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files so that both processes end at the same time: short files come last."""
    items.sort(key=lambda item: _place(item.path))


def _place(path: Path) -> tuple[int, str]:
    folder = path.relative_to(TESTS).parts[0]
    return (ORDER.index(folder) if folder in ORDER else len(ORDER), str(path))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the tests of each folder took, so that a drift is seen."""
    took_s: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                took_s["/".join(report.nodeid.partition("::")[0].split("/")[:-1])] += report.duration
    if len(took_s) > 1:
        terminalreporter.section("seconds of each folder")
        for folder, seconds in sorted(took_s.items(), key=lambda pair: -pair[1]):
            terminalreporter.write_line(f"{seconds:6.0f} s  {folder}")


@pytest.fixture(scope="session")
def cloud() -> Iterator[EmbeddedCloud]:
    """One embedded cloud for all tests that want its services; each takes keys and job ids of its own."""
    with EmbeddedCloud() as started:
        started.create_stack()
        yield started


@pytest.fixture(scope="session")
def warm_commands() -> Iterator[WarmCommands]:
    """Commands that need no interpreter of their own."""
    with WarmCommands() as commands:
        yield commands
