"""Scale the effort of slow tests: small in the gate, large at night."""

import os

import pytest

SLOW = os.environ.get("S3MR_SLOW") == "1"
slow = pytest.mark.skipif(not SLOW, reason="takes minutes: make nightly, or S3MR_SLOW=1")


def examples(count: int) -> int:
    """Return how many examples a property test tries: ``count`` / 3 in the gate, ``count`` * 100 at night."""
    return count * 100 if SLOW else count // 3
