"""What tests of all kinds share."""

from collections.abc import Iterator

import pytest

from s3mr.local.cloud import EmbeddedCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[EmbeddedCloud]:
    """One embedded cloud for all tests that want its services; each takes keys and job ids of its own."""
    with EmbeddedCloud() as started:
        started.create_stack()
        yield started
