"""Check all locked packages for known vulnerabilities: ``make audit``.

It checks each package of each lock, for all systems. It fails if a package cannot be checked (pip-audit's --strict), or
if the service does not answer. It installs nothing, because all versions are locked.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = (
    ".ci/requirements.txt",
    ".ci/sam.txt",
    ".ci/audit.txt",
    ".ci/emulator.txt",
    ".ci/docs.txt",
    "lambdas/requirements.txt",
)
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;]+)")
_NO_PACKAGE = re.compile(r"#|\./|--hash=|$")  # a comment, this project itself, a hash


def pins(locks: Iterable[Path]) -> set[tuple[str, str]]:
    """Return every locked package, with its version.

    Raises:
        SystemExit: a line has no package and version, so its package would not be checked.
    """
    found = set()
    for lock in locks:
        for line in map(str.strip, lock.read_text(encoding="utf-8").splitlines()):
            if pin := _PIN.match(line):
                found.add((pin[1].lower(), pin[2]))
            elif not _NO_PACKAGE.match(line):
                raise SystemExit(f"{lock}: not a package with a version: {line}")
    return found


def rounds(packages: set[tuple[str, str]]) -> list[list[str]]:
    """Divide the packages into requirements files without duplicates: a package's version can depend on the system."""
    files: list[dict[str, str]] = []
    for name, version in sorted(packages):
        free = next((file for file in files if name not in file), None)
        if free is None:
            free = {}
            files.append(free)
        free[name] = version
    return [[f"{name}=={version}" for name, version in file.items()] for file in files]


def main() -> int:
    """Return 0 if all packages were checked, and none has a known vulnerability."""
    pip_audit = [sys.argv[1], "--strict", "--no-deps", "--disable-pip", "--progress-spinner", "off", "--requirement"]
    packages = pins(ROOT / lock for lock in LOCKS)
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, lines in enumerate(rounds(packages)):
            file = Path(folder, f"{number}.txt")
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            status |= subprocess.run([*pip_audit, file], check=False).returncode
    print("failed" if status else f"passed: {len(packages)} packages, none with a known vulnerability")
    return int(bool(status))


if __name__ == "__main__":
    sys.exit(main())
