"""Configuration and fixtures of all tests."""

import gc
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

EXAMPLES: Final = 100  # for a property that does not set its own number
TESTS: Final = Path(__file__).parent
ORDER: Final = ("chaos", "simulation", "docs", "integration", "contract", "unit")


def pytest_configure() -> None:
    """Set the number of examples of properties, and let processes that tests start receive Ctrl-C.

    A shell's background processes ignore Ctrl-C, and their children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request hides what failed
    # A slow example on a busy machine is not an error: each test sets its own time limits.
    hypothesis.settings.register_profile("s3mr", max_examples=examples(EXAMPLES), deadline=None)
    hypothesis.settings.load_profile("s3mr")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run short files last, so that the processes that share the files end at about the same time."""
    items.sort(key=lambda item: _place(item.path))


def pytest_collection_finish() -> None:
    """Exclude what is imported by now from garbage collection, which would look at all of it again and again."""
    gc.collect()
    gc.freeze()


def _place(path: Path) -> tuple[int, str]:
    folder = path.relative_to(TESTS).parts[0]
    return (ORDER.index(folder) if folder in ORDER else len(ORDER), str(path))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the time that the tests of each folder took, so that drift is visible."""
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
    """One embedded cloud that tests share; each test uses its own keys and job ids."""
    with EmbeddedCloud() as started:
        started.create_stack()
        yield started


@pytest.fixture(scope="session")
def warm_commands() -> Iterator[WarmCommands]:
    """Commands that run as forks of a warm process."""
    with WarmCommands() as commands:
        yield commands
