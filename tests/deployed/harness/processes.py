"""All processes of an environment, found in ``/proc``: to freeze, to thaw, to measure and to kill them."""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    children: dict[int, list[int]] = defaultdict(list)
    for child, parent in _all():
        children[parent].append(child)
    found = [pid]
    for member in found:
        found += children[member]
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each that still is."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_family(pid: int) -> None:
    """Kill a process and its descendants, also those that are born meanwhile."""
    send(family(pid), signal.SIGSTOP)  # who is stopped has no more children
    send(family(pid), signal.SIGKILL)


def private_bytes(pid: int) -> int:
    """The memory that a process has for itself: what files and shared memory do not account for."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def _all() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - a path for each costs
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
                yield int(name), int(stat.rpartition(")")[2].split()[1])
