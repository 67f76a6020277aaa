"""All processes of an environment, found in ``/proc``: to freeze, to thaw, to measure and to kill them.

They descend from its first one, or carry its mark: an environment variable ``NAME=value`` that they inherit, by which
those are found whose parents have died before.
"""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def children() -> Mapping[int, Sequence[int]]:
    """Every process of the machine that has children, with them."""
    found: dict[int, list[int]] = defaultdict(list)
    for child, parent in _all():
        found[parent].append(child)
    return found


def family(pid: int, running: Mapping[int, Sequence[int]] | None = None) -> list[int]:
    """A process and all that descend from it, parents first; from what was ``running``, or runs now."""
    known = children() if running is None else running
    found = [pid]
    for member in found:
        found += known.get(member, ())
    return found


def marked(mark: str) -> list[int]:
    """All processes that carry a mark."""
    found = []
    for pid, _parent in _all():
        with contextlib.suppress(OSError):  # gone, or not ours to look into
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each that still is."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_all(mark: str) -> None:
    """Kill all that carry a mark, and what descends from them, also those that are born meanwhile."""
    for number in (signal.SIGSTOP, signal.SIGKILL):  # who is stopped has no more children
        send({pid for found in marked(mark) for pid in family(found)}, number)


def private_bytes(pid: int) -> int:
    """The memory that a process has for itself: what files and shared memory do not account for."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def _all() -> Iterator[tuple[int, int]]:
    """Every process of the machine, with its parent."""
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
