"""Packing a job's code for a stack: its files, what was included, its requirements, in one bundle that fits there."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from s3mr.bundle import make_bundle
from s3mr.loading import Code
from s3mr.model.stack import StackDescription
from s3mr.remote.compiled import check_compiled
from s3mr.remote.platform import Platform
from s3mr.remote.requirements import resolve


def pack(
    code: Code, stack: StackDescription, *, include: Sequence[Path] = (), requirements: Path | None = None
) -> bytes:
    """Return the bundle with which the functions of ``stack`` run the job.

    With ``requirements`` pip runs, and asks its package index: that takes seconds, or minutes.

    Raises:
        RequestError: something is missing, too large, or cannot be loaded by the stack's functions.
    """
    platform = Platform(stack.runtime, stack.architecture)
    with tempfile.TemporaryDirectory(prefix="s3mr-requirements-") as folder:
        files = code.files(include)
        if requirements is not None:
            files |= resolve(requirements, platform, Path(folder) / "installed")
        check_compiled(files, platform)
        return make_bundle(files)
