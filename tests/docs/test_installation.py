"""``pip install '.[local]'`` installs everything that s3mr needs, and the lock files are complete."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata

from tests.docs.blocks import ROOT

# Imports every module of s3mr with all packages hidden that users do not have.
_IMPORT_ALL = """
import importlib, importlib.abc, pkgutil, sys

hidden = set(sys.argv[1:])

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not installed for users", name=name)

sys.meta_path.insert(0, Hide())
import s3mr
for module in pkgutil.walk_packages(s3mr.__path__, "s3mr."):
    importlib.import_module(module.name)
"""


def test_no_module_of_s3mr_needs_a_development_dependency() -> None:
    users = {"s3mr"} | {name for name, _ in _with_dependencies(_declared("local"), frozenset(), frozenset())}
    hidden = {
        module
        for module, owners in metadata.packages_distributions().items()
        if module.isidentifier() and not {_normal(owner) for owner in owners} & users
    }
    assert {"pytest", "mypy_boto3_s3", "hypothesis"} <= hidden
    ended = subprocess.run(
        [sys.executable, "-P", "-c", _IMPORT_ALL, *sorted(hidden)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr


def test_the_package_is_typed_licensed_and_in_the_changelog() -> None:
    assert (ROOT / "s3mr" / "py.typed").exists()
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").count(f"## [{metadata.version('s3mr')}]") == 1


def test_every_development_dependency_is_locked() -> None:
    lock = (ROOT / ".ci" / "requirements.txt").read_text(encoding="utf-8")
    locked = {_normal(name) for name in re.findall(r"^([\w.-]+)(?:\[.*?\])?==", lock, re.MULTILINE)}
    wanted = {name for line in _declared("local", "dev", build=True) for name, _ in _parsed(line, frozenset())}
    assert wanted <= locked, f"make lock: {sorted(wanted - locked)} are not locked"


def test_every_dependency_of_the_site_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = (ROOT / ".ci" / "docs.txt").read_text(encoding="utf-8")
    wanted = {name for line in project["dependency-groups"]["docs"] for name, _ in _parsed(line, frozenset())}
    assert wanted
    assert wanted <= {_normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}, "make lock"


def _declared(*extras: str, build: bool = False) -> list[str]:
    """Return the requirements in s3mr's own project file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    optional = [line for extra in extras for line in project["project"]["optional-dependencies"][extra]]
    return [*project["project"]["dependencies"], *optional, *(project["build-system"]["requires"] if build else [])]


def _with_dependencies(
    lines: list[str], extras: frozenset[str], seen: frozenset[tuple[str, frozenset[str]]]
) -> frozenset[tuple[str, frozenset[str]]]:
    """Return the name and extras of every direct or transitive requirement that is installed here."""
    for line in lines:
        for name, more in _parsed(line, extras):
            if (name, more) in seen:
                continue
            seen |= {(name, more)}
            with suppress(metadata.PackageNotFoundError):
                seen = _with_dependencies(metadata.requires(name) or [], more, seen)
    return seen


def _parsed(line: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the name and extras of one requirement, unless it belongs to an extra that is not in ``extras``."""
    spec, _, marker = line.partition(";")
    conditions = re.findall(r"""extra == ['"]([\w-]+)['"]""", marker)
    parsed = re.match(r"([\w.-]+)(?:\[([\w,\s-]+)\])?", spec.strip())
    assert parsed, line
    if not conditions or set(conditions) & extras:
        yield _normal(parsed[1]), frozenset(one.strip() for one in (parsed[2] or "").split(",") if one)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
