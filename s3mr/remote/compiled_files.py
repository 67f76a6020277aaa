"""Check that a stack's functions can load the compiled files in a bundle."""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from s3mr.errors import RequestError
from s3mr.remote.function_platform import Platform
from s3mr.usercode.imports import PACKAGES

_LINUX: Final = re.compile(r"\.so(\.[0-9]+)*$")
_ELSEWHERE: Final = re.compile(r"\.(pyd|dylib)$")  # Windows, macOS
_TAG: Final = re.compile(
    r"\.((?:cpython|pypy|graalpy)[^.]*|abi3[^.]*)\.so$"
)  # PEP 3149: the tag names the Python version
_ELF_MAGIC: Final = b"\x7fELF"
_SHOWN_MAX: Final = 3
_REPACK_ADVICE: Final = (
    "Name the package in --requirements to get the wheel for that platform, or deploy the stack with this machine's "
    "Architecture and Runtime"
)


def compiled(files: Iterable[str]) -> list[str]:
    """Return the names of the compiled files in a bundle. Of the requirements, return only those for Linux.

    A wheel may contain files for other platforms. It was chosen by its tag, and does not load them.
    """
    return sorted(name for name in files if _LINUX.search(name) or (not _is_required(name) and _ELSEWHERE.search(name)))


def check_compiled(
    files: Mapping[str, Path],
    platform: Platform,
    *,
    python: tuple[int, int] = (sys.version_info[0], sys.version_info[1]),
) -> None:
    """Refuse a bundle whose compiled files the functions could not load, or that was tested with another ``python``.

    Raises:
        RequestError: a file is for another Python or platform, or this Python differs from the functions' Python.
    """
    check_loadable(files, platform, advice=_REPACK_ADVICE)
    found = compiled(files)
    if found and python != platform.version:
        raise RequestError(
            f"the bundle has compiled code ({_first_few(found)}), and this is Python {python[0]}.{python[1]}, but the "
            f"stack runs {platform.runtime}: run s3mr with the stack's Python, or deploy the stack with "
            f"Runtime=python{python[0]}.{python[1]}"
        )


def check_loadable(files: Mapping[str, Path], platform: Platform, *, advice: str) -> None:
    """Refuse a bundle whose compiled files the functions could not load; ``advice`` says what to do about it.

    Raises:
        RequestError: a file is for another Python or platform.
    """
    if foreign := _foreign(compiled(files), files, platform):
        raise RequestError(f"not compiled for the stack's platform, {platform}: {_first_few(foreign)}. {advice}")


def _foreign(names: Iterable[str], files: Mapping[str, Path], platform: Platform) -> list[str]:
    """Return the names that the functions cannot load. Of a module built for several Pythons, one build must fit."""
    untagged = [name for name in names if not _TAG.search(name)]
    wrong = [name for name in untagged if not _is_required(name) and not _fits(files[name], platform)]
    modules: dict[str, list[str]] = {}
    for name in names:
        if _TAG.search(name):
            modules.setdefault(_TAG.sub("", name), []).append(name)
    for alike in modules.values():
        if not any(_is_loaded(name, files[name], platform) for name in alike):
            wrong += alike
    return sorted(wrong)


def _is_loaded(name: str, path: Path, platform: Platform) -> bool:
    """Whether the functions' Python would load an extension module, judged by the tag in its name and its content."""
    match = _TAG.search(name)
    tag = match[1] if match else ""
    version = platform.version
    wanted = ("abi3", f"cpython-{version[0]}{version[1]}-{platform.machine}-linux-gnu")
    return tag in wanted and _fits(path, platform)


def _fits(path: Path, platform: Platform) -> bool:
    """Whether a file is compiled for Linux on this architecture (System V ABI, "ELF header")."""
    if not _LINUX.search(path.name):
        return False
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError as error:
        raise RequestError(f"cannot read the job's code: {error}") from error
    return header.startswith(_ELF_MAGIC) and int.from_bytes(header[18:20], "little") == platform.elf_machine


def _is_required(name: str) -> bool:
    return PurePosixPath(name).parts[0] == PACKAGES


def _first_few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_MAX} more" if len(names) > _SHOWN_MAX else ""
    return ", ".join(names[:_SHOWN_MAX]) + more
