"""Build the template with `sam build`, and the rest of an environment: an interpreter and AWS's runtime client."""

import compileall
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

from tests.deployed.harness.constants import ARCHITECTURE, BUILD, ROOT, RUNTIME

SOURCES: Final = ("template.yaml", "lambdas", "s3mr")
CLIENT: Final = ("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client")
NOBODY: Final = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


def sam(*arguments: str | Path, environment: Mapping[str, str] = NOBODY) -> str:
    """Run the SAM CLI with these extra variables, and return its output. Without any, it cannot access AWS.

    Raises:
        AssertionError: it failed; the message is its output.
    """
    ran = subprocess.run(
        [_sam_path(), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    printed = ran.stdout + ran.stderr
    if ran.returncode:
        raise AssertionError(f"sam {' '.join(map(str, arguments))}: {printed}")
    return printed


def build(architecture: str = ARCHITECTURE, runtime: str = RUNTIME) -> Path:
    """Build the template for an architecture, and return the built template's path."""
    with _locked():
        return _build(architecture, runtime)


def _build(architecture: str, runtime: str) -> Path:
    folder = BUILD / architecture
    template, stamp = folder / "template.yaml", folder / "sources.sha256"
    sources = fingerprint(_sources()) + runtime
    if not (template.exists() and stamp.exists() and stamp.read_text() == sources):
        shutil.rmtree(folder, ignore_errors=True)
        overrides = f"Architecture={architecture} Runtime={runtime}"
        sam("build", "--template", ROOT / "template.yaml", "--build-dir", folder, "--parameter-overrides", overrides)
        stamp.write_text(sources)
    return template


@cache
def package(folder: Path) -> tuple[str, Path]:
    """Return a read-only copy of a built function's folder, and the SHA-256 of its content, which names it.

    Each folder is read once per process.
    """
    sha = fingerprint((path, path.relative_to(folder)) for path in _files(folder))
    kept = BUILD / "packages" / sha
    with _locked():
        _keep(folder, kept)
    return sha, kept


def _keep(folder: Path, kept: Path) -> None:
    if not kept.exists():
        making = kept.with_suffix(f".{os.getpid()}")
        shutil.copytree(folder, making)
        # Compile once, so that importing does not compile again in each environment.
        compileall.compile_dir(making, quiet=2, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        making.rename(kept)


def interpreter() -> Path:
    """Return a Python without installed packages."""
    folder = BUILD / "runtime" / f"{RUNTIME}-empty"
    with _locked():
        if not folder.exists():
            venv.create(folder, symlinks=True, with_pip=False)
    return folder / "bin" / "python"


def runtime_client() -> Path:
    """Return a folder with only AWS's runtime client and its dependencies."""
    folder = BUILD / "runtime" / f"awslambdaric-{importlib.metadata.version('awslambdaric')}-{RUNTIME}"
    with _locked():
        if not folder.exists():
            _copy_client(folder)
    return folder


def _copy_client(folder: Path) -> None:
    making = folder.with_suffix(f".{os.getpid()}")
    making.mkdir(parents=True)
    for name in CLIENT:
        spec = find_spec(name)
        assert spec
        assert spec.origin
        origin = Path(spec.origin)
        if spec.submodule_search_locations:
            shutil.copytree(origin.parent, making / name, ignore=shutil.ignore_patterns("tests"))
        else:
            shutil.copy(origin, making)
    making.rename(folder)


def fingerprint(files: Iterator[tuple[Path, Path]]) -> str:
    """Return the SHA-256 of files and their names, in a fixed order."""
    digest = hashlib.sha256()
    for path, name in sorted(files, key=lambda pair: pair[1].as_posix()):
        digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the lock on ``build/deployed``, so that only one process builds there."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sources() -> Iterator[tuple[Path, Path]]:
    for name in SOURCES:
        path = ROOT / name
        for file in _files(path) if path.is_dir() else (path,):
            yield file, file.relative_to(ROOT)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _sam_path() -> str:
    given, ours = os.environ.get("S3MR_SAM"), ROOT / ".venv" / "sam" / "bin" / "sam"
    found = given or (str(ours) if ours.exists() else shutil.which("sam"))
    if not found:
        raise AssertionError("the SAM CLI was not found: install it with `make .venv/sam/.done`, or set S3MR_SAM")
    return found
