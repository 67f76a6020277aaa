"""What takes minutes runs where it is asked for."""

import os

import pytest

SLOW = os.environ.get("S3MR_SLOW") == "1"
slow = pytest.mark.skipif(not SLOW, reason="takes minutes: make nightly, or S3MR_SLOW=1")


def examples(count: int) -> int:
    """How many examples a property is tried on: a third of ``count`` in the gate, a hundred times it at night."""
    return count * 100 if SLOW else count // 3
