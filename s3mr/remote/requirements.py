"""Install the requirements of a job for a stack's functions, with the user's own pip on this machine.

It takes only wheels, for the stack's Python and platform, and builds nothing. pip's own configuration applies: its
index, certificates and constraints. The packages go into one folder of the bundle. Workers import from it after the
job's own files and before anything else (`s3mr.usercode.imports`). If a worker has loaded a package before it loads the
job (boto3, pydantic and their dependencies), the worker's version is used, whatever version you request.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from s3mr.errors import RequestError
from s3mr.options import check_requirements
from s3mr.remote.foreign_pip import UNKNOWN_PIP_STATUS
from s3mr.remote.function_platform import Platform
from s3mr.usercode.imports import PACKAGES

_INSTALLERS: Final = {
    "INSTALLER",
    "RECORD",
    "REQUESTED",
    "direct_url.json",
}  # describe the installation, not the package
_NEUTRAL: Final = {  # these settings conflict with --target; pip ignores empty ones
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_NO_INPUT": "1",
    "PIP_PREFIX": "",
    "PIP_ROOT": "",
    "PIP_TARGET": "",
}
_LINES_MAX: Final = 6  # lines of pip's output to show
_LINE_MAX: Final = 300  # characters
_VERSIONS_MAX: Final = 5  # newest versions to show of a requirement without a fitting wheel
_NO_INDEX: Final = "WARNING: Retrying ("
_NO_MATCH: Final = "No matching distribution found for "
_VERSIONS: Final = re.compile(r"\(from versions: ([^)]*)\)")
_CONFLICT: Final = "ResolutionImpossible"


def resolve(file: Path, platform: Platform, folder: Path) -> dict[str, Path]:
    """Install the requirements in ``file`` into ``folder``, and return the files by their names in the bundle.

    The same wheels give the same files: commands and files that depend on this machine or the time are left out.

    Raises:
        RequestError: the file or pip does not exist, or a requirement has no wheel for this platform.
    """
    check_requirements(file)
    if importlib.util.find_spec("pip") is None:
        raise RequestError(
            f"--requirements needs pip, which {sys.executable} does not have: install it with python -m ensurepip"
        )
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        _command(file, platform, folder),
        env={**os.environ, **_NEUTRAL},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == UNKNOWN_PIP_STATUS:
        raise RequestError("--requirements does not support this pip: run python -m pip install --upgrade pip")
    if done.returncode:
        raise RequestError(f"--requirements {file}: {_why(done.stdout, platform)}")
    _check_no_links(file, folder)
    return {f"{PACKAGES}/{path.relative_to(folder).as_posix()}": path for path in _installed(folder)}


def _command(file: Path, platform: Platform, folder: Path) -> list[str]:
    version = platform.version
    return [
        *(sys.executable, "-P", "-m", "s3mr.remote.foreign_pip", json.dumps(platform.markers), "install"),
        *("--target", str(folder), "--requirement", str(file), "--only-binary=:all:", "--no-compile"),
        *("--implementation", "cp", "--python-version", f"{version[0]}.{version[1]}"),
        *("--abi", f"cp{version[0]}{version[1]}"),
        *(f"--platform={tag}" for tag in platform.wheel_tags),
        *("--disable-pip-version-check", "--no-warn-conflicts", "--progress-bar=off", "--no-color"),
    ]


def _installed(folder: Path) -> Iterator[Path]:
    """Yield the files of an installation that do not depend on this machine, sorted."""
    if not folder.is_dir():  # the file has no requirements
        return
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        command = place.parts[0] == "bin"  # its first line has the path of this machine's Python
        installer = path.parent.name.endswith(".dist-info") and path.name in _INSTALLERS
        if path.is_file() and not (command or installer or "__pycache__" in place.parts):
            yield path


def _check_no_links(file: Path, folder: Path) -> None:
    """Refuse packages that pip only linked to: a worker would not find their files."""
    for record in folder.glob("*.dist-info/direct_url.json"):
        if json.loads(record.read_bytes()).get("dir_info", {}).get("editable"):
            name = record.parent.name.partition("-")[0]
            raise RequestError(f"--requirements {file}: {name} is editable, so pip only links to it: remove -e")


def _why(output: str, platform: Platform) -> str:
    """Explain in a few lines why pip failed, and what to do."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(line.startswith(_NO_INDEX) for line in lines):
        return "pip cannot reach its package index: check the network and pip's configuration (pip config list)"
    if missing := [line for line in lines if _NO_MATCH in line]:
        versions = _VERSIONS.search(output)
        known = ", ".join(versions[1].split(", ")[-_VERSIONS_MAX:] if versions else ["none"])
        return (
            f"there is no wheel of {missing[-1].rpartition(_NO_MATCH)[2]} for {platform} (pip sees: {known}). "
            "Request a version that has one, or build a wheel for that platform and add --find-links FOLDER to the "
            "file; s3mr does not build from source"
        )
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-1:]
    if _CONFLICT in output:
        causes = [line for line in lines if " depends on " in line or line.startswith("The user requested ")]
        errors = [*errors[:1], *causes]
    return "\n  ".join(["pip failed:", *(line[:_LINE_MAX] for line in errors[:_LINES_MAX])])
