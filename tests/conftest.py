"""What tests of all kinds share."""

import signal
from collections.abc import Iterator

import pytest

from s3mr.local.cloud import EmbeddedCloud
from tests.warm_commands import WarmCommands


def pytest_configure() -> None:
    """Let what tests start hear Ctrl-C: what a shell runs in the background ignores it, and so do all its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file together, so that what they share is made once: for ``-n 2 --dist loadgroup``."""
    for item in items:
        if "deployed" not in item.path.parts:  # all of them are one group
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


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
