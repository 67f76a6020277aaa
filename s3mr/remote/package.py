"""Packing a job's code for a stack: its files, what was included, its requirements, in one bundle that fits there.

A bundle that was packed for a stack as it was before is looked at again: it may have been deployed anew.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from s3mr.model.job import BundleRef
from s3mr.model.stack import StackDescription
from s3mr.remote.compiled_files import check_compiled, check_loadable
from s3mr.remote.function_platform import Platform
from s3mr.remote.requirements import resolve
from s3mr.usercode.bundle import make_bundle, open_bundle
from s3mr.usercode.location import Code


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


def check_packed(bundle: bytes, ref: BundleRef, stack: StackDescription) -> None:
    """See that the functions of ``stack``, as it is now, can load what was packed for it before.

    Raises:
        RequestError: they cannot: it was deployed with another Runtime or Architecture meanwhile.
        InvariantError: the bundle is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="s3mr-bundle-") as folder:
        root = open_bundle(bundle, ref.sha256, Path(folder))
        files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        check_loadable(
            files,
            Platform(stack.runtime, stack.architecture),
            advice="Run the job again, which packs its code anew, or deploy the stack with the Runtime and the "
            "Architecture that it had",
        )
