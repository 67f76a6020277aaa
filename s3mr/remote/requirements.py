"""Requirements: the wheels that a stack's functions need, resolved on this machine by the user's own pip.

Only wheels are taken, for the stack's Python and platform; nothing is built. pip's own configuration holds: its index,
its certificates, its constraints. What it installs comes below one folder of the bundle, from which workers import
after the job's own files and before anything else (`s3mr.usercode.imports`). A package that a worker has loaded for
itself before it loads the job (boto3, pydantic and what these need) stays as the worker has it, whatever version is
asked for.
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

_INSTALLERS: Final = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}  # say how and from where, not what
_NEUTRAL: Final = {  # none of these fits --target; pip passes over what is empty
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_NO_INPUT": "1",
    "PIP_PREFIX": "",
    "PIP_ROOT": "",
    "PIP_TARGET": "",
}
_LINES_MAX: Final = 6  # of pip's that a person is shown
_LINE_MAX: Final = 300  # characters
_VERSIONS_MAX: Final = 5  # of a requirement that none fits, the newest
_NO_INDEX: Final = "WARNING: Retrying ("
_NO_MATCH: Final = "No matching distribution found for "
_VERSIONS: Final = re.compile(r"\(from versions: ([^)]*)\)")
_CONFLICT: Final = "ResolutionImpossible"


def resolve(file: Path, platform: Platform, folder: Path) -> dict[str, Path]:
    """Install what ``file`` asks for into ``folder``, and return the files by their names in the bundle.

    The same wheels give the same files: what depends on this machine or on the time stays out, and so do commands.

    Raises:
        RequestError: there is no such file or no pip, or a requirement has no wheel for this platform.
    """
    check_requirements(file)
    if importlib.util.find_spec("pip") is None:
        raise RequestError(
            f"--requirements needs pip, and {sys.executable} has none: install it, with  python -m ensurepip"
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
        raise RequestError("--requirements: this pip is of an unknown kind; python -m pip install --upgrade pip")
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
    """Yield what of an installation is the same wherever it was made, sorted."""
    if not folder.is_dir():  # the file asks for nothing
        return
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        command = place.parts[0] == "bin"  # begins with the path of this machine's Python
        said = path.parent.name.endswith(".dist-info") and path.name in _INSTALLERS
        if path.is_file() and not (command or said or "__pycache__" in place.parts):
            yield path


def _check_no_links(file: Path, folder: Path) -> None:
    """Refuse what pip has only linked to: a worker would find nothing there."""
    for said in folder.glob("*.dist-info/direct_url.json"):
        if json.loads(said.read_bytes()).get("dir_info", {}).get("editable"):
            name = said.parent.name.partition("-")[0]
            raise RequestError(f"--requirements {file}: {name} is editable (-e), which only links to it: leave -e out")


def _why(output: str, platform: Platform) -> str:
    """Say in few lines why pip failed, and what to do."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(line.startswith(_NO_INDEX) for line in lines):
        return "pip cannot reach its package index: check the network and pip's configuration (pip config list)"
    if missing := [line for line in lines if _NO_MATCH in line]:
        there = _VERSIONS.search(output)
        known = ", ".join(there[1].split(", ")[-_VERSIONS_MAX:] if there else ["none"])
        return (
            f"there is no wheel of {missing[-1].rpartition(_NO_MATCH)[2]} for {platform} (pip sees: {known}). "
            "Ask for a version that has one, or build a wheel for that platform and name its folder in the file with "
            "--find-links; nothing is built from source here"
        )
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-1:]
    if _CONFLICT in output:
        causes = [line for line in lines if " depends on " in line or line.startswith("The user requested ")]
        errors = [*errors[:1], *causes]
    return "\n  ".join(["pip failed:", *(line[:_LINE_MAX] for line in errors[:_LINES_MAX])])
