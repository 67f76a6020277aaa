"""Pack a job's code for a stack: its own files, the included files and the requirements, in one bundle.

A resumed job's bundle is checked again, because the stack may have been redeployed since it was packed.
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
    """Return the bundle that the functions of ``stack`` need to run the job.

    With ``requirements``, this runs pip, which queries its package index. That takes seconds or minutes.

    Raises:
        RequestError: a file is missing or too large, or the stack's functions cannot load it.
    """
    platform = Platform(stack.runtime, stack.architecture)
    with tempfile.TemporaryDirectory(prefix="s3mr-requirements-") as folder:
        files = code.files(include)
        if requirements is not None:
            files |= resolve(requirements, platform, Path(folder) / "installed")
        check_compiled(files, platform)
        return make_bundle(files)


def check_packed(bundle: bytes, ref: BundleRef, stack: StackDescription) -> None:
    """Check that the functions of ``stack``, as it is now, can load a bundle packed for it before.

    Raises:
        RequestError: they cannot, because it was redeployed with another Runtime or Architecture.
        InvariantError: the bundle is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="s3mr-bundle-") as folder:
        root = open_bundle(bundle, ref.sha256, Path(folder))
        files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        check_loadable(
            files,
            Platform(stack.runtime, stack.architecture),
            advice="Run the job again to repack its code, or deploy the stack with its former Runtime and Architecture",
        )
