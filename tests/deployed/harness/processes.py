"""Find all processes of an environment in ``/proc``, to freeze, thaw, measure and kill them.

They descend from its first process, or have its mark: an environment variable ``NAME=value`` that they inherit. The
mark finds processes whose parents have died.
"""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def children() -> Mapping[int, Sequence[int]]:
    """Return every process of the machine that has children, with its children."""
    found: dict[int, list[int]] = defaultdict(list)
    for child, parent in _all():
        found[parent].append(child)
    return found


def family(pid: int, running: Mapping[int, Sequence[int]] | None = None) -> list[int]:
    """Return a process and all its descendants, parents first. ``running`` defaults to the current processes."""
    known = children() if running is None else running
    found = [pid]
    for member in found:
        found += known.get(member, ())
    return found


def marked(mark: str) -> list[int]:
    """Return all processes that have a mark."""
    found = []
    for pid, _parent in _all():
        with contextlib.suppress(OSError):  # gone, or not readable by us
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_all(mark: str) -> None:
    """Kill all processes with a mark and their descendants, including those that start meanwhile."""
    for number in (signal.SIGSTOP, signal.SIGKILL):  # a stopped process starts no more children
        send({pid for found in marked(mark) for pid in family(found)}, number)


def private_bytes(pid: int) -> int:
    """Return the private memory of a process: without files and shared memory."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def _all() -> Iterator[tuple[int, int]]:
    """Yield every process of the machine, with its parent."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a path for each costs
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield int(name), int(_stat(name).rpartition(b")")[2].split(maxsplit=2)[1])


def _stat(name: str) -> bytes:
    file = os.open(f"/proc/{name}/stat", os.O_RDONLY)  # ten times a second for each process: a stream costs more
    try:
        return os.read(file, 1024)
    finally:
        os.close(file)
