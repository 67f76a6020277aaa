"""Measure the CPU time and memory of all processes below a command, while it runs (Linux).

It samples 20 times per second, and misses what a process takes after its last sample. Peak memory comes from the kernel
(``VmHWM`` in ``/proc/<pid>/status``), so it includes peaks between two samples.
"""

import os
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOK_S: Final = 0.05
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one process took, at its last sample. ``kind`` is its own name, or the module that it runs."""

    kind: str
    cpu_s: float
    peak_bytes: int


def watch(command: Sequence[str]) -> list[Seen]:
    """Run ``command`` to its end. Return what it and each process below it took.

    Raises:
        CalledProcessError: the command did not exit with 0.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - the commands are constants
    seen: dict[int, Seen] = {}
    ended = threading.Event()
    looking = threading.Thread(target=_look_on, args=(process.pid, seen, ended))
    looking.start()
    try:
        process.wait()
    finally:
        ended.set()
        looking.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return list(seen.values())


def _look_on(root: int, seen: dict[int, Seen], ended: threading.Event) -> None:
    while not ended.wait(LOOK_S):
        for pid in _below(root):
            with suppress(OSError, ValueError, IndexError):  # the process may end meanwhile
                seen[pid] = _look(pid, first=pid == root)


def _below(root: int) -> list[int]:
    """Return ``root`` and all processes below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _look(pid: int, *, first: bool) -> Seen:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    stat = _stat(pid)
    name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()  # workers set their own name
    if not name.startswith("s3mr-"):
        name = words[words.index("-m") + 1] if "-m" in words else words[0]
    return Seen("command" if first else name, (int(stat[11]) + int(stat[12])) * TICK_S, _peak_bytes(pid))


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has ended")


def _stat(pid: int) -> list[str]:
    """Return the fields that follow a process' name: state, parent, and so on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
