"""Find and kill the descendants of this process, and hide its memory from them. Only for Linux.

Sources: prctl(2), PR_SET_CHILD_SUBREAPER and PR_SET_DUMPABLE; proc(5), ``/proc/<pid>/stat``; pidfd_open(2).
"""

import contextlib
import os
import select
import signal
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from s3mr.processes.syscalls import prctl

_SET_DUMPABLE: Final = 4
_SET_CHILD_SUBREAPER: Final = 36
_ROUNDS_MAX: Final = 1_000
_DEATH_MS_MAX: Final = 5_000  # a killed process may take long to end: the system may have to write or free a lot


class Process(NamedTuple):
    """A process, as the system lists it."""

    pid: int
    parent: int
    group: int
    dead: bool  # it has ended, and its parent has not reaped it


def adopt_orphans() -> None:
    """Make this process a subreaper: a descendant whose parent dies becomes its child, not a child of init.

    Raises:
        OSError: the system refuses.
    """
    prctl(_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Hide this process' memory, environment and descriptors from other processes of the same user.

    Raises:
        OSError: the system refuses.
    """
    prctl(_SET_DUMPABLE, 0)


def kill_descendants(spared: Container[int] = ()) -> None:
    """Kill every descendant of this process that is not ``spared``, repeatedly, until none is left.

    A dead process whose parent is spared is left to its parent.

    Raises:
        ChildProcessError: they start others faster than they can be killed, or do not die.
    """
    for _ in range(_ROUNDS_MAX):
        _reap_children(spared)
        living = [one.pid for one in descendants(os.getpid()) if not (one.dead or one.pid in spared)]
        if not living:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):  # a stopped process cannot fork while others are killed
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        for pid in living:
            _wait_for_death(pid)
    raise ChildProcessError("the processes that user code has started cannot be killed")


def descendants(root: int) -> list[Process]:
    """Return all descendants of ``root``, parents first."""
    children: dict[int, list[Process]] = {}
    for one in processes():
        children.setdefault(one.parent, []).append(one)
    found = children.get(root, [])
    for one in found:
        found += children.get(one.pid, [])
    return found


def processes() -> Iterator[Process]:
    """Yield all processes of the system."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - faster than a Path for each
        if name.isdigit() and (found := process(int(name))):
            yield found


def process(pid: int) -> Process | None:
    """Return the process with this id, or the process of the thread with this id; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent, group = text.rpartition(")")[2].split()[:3]
    return Process(pid, int(parent), int(group), state in "ZX")


def _reap_children(spared: Container[int]) -> None:
    """Reap dead children, which include grandchildren whose parents have died."""
    for one in [one for one in descendants(os.getpid()) if one.dead and one.parent == os.getpid()]:
        if one.pid not in spared:
            with contextlib.suppress(ChildProcessError):  # another thread has reaped it
                os.waitpid(one.pid, 0)


def _wait_for_death(pid: int) -> None:
    """Wait until a killed process has ended. Returns at once on old kernels: the caller looks for it again."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(_DEATH_MS_MAX):
            raise ChildProcessError(f"process {pid} does not die")
    finally:
        os.close(descriptor)
