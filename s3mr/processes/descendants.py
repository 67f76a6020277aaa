"""What a worker function's process does to the processes below it, and keeps from them. Linux knows all of this.

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
_DEATH_MS_MAX: Final = 5_000  # of a process that was killed: the system may have to write, or to free, a lot first


class Process(NamedTuple):
    """One line of the system's list."""

    pid: int
    parent: int
    group: int
    dead: bool  # it has ended, and its parent has not asked how


def adopt_orphans() -> None:
    """From now on, a descendant whose parent dies becomes a child of this process, not of the system's first one.

    Raises:
        OSError: the system refuses.
    """
    prctl(_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Keep this process' memory, environment and descriptors from other processes of the same user.

    Raises:
        OSError: the system refuses.
    """
    prctl(_SET_DUMPABLE, 0)


def kill_descendants(spared: Container[int] = ()) -> None:
    """Kill every process below this one but the spared, and those that they start meanwhile, until there is none.

    The dead whose parent is spared are left to that.

    Raises:
        ChildProcessError: they start others faster than they can be killed, or do not die.
    """
    for _ in range(_ROUNDS_MAX):
        _take_leave(spared)
        living = [one.pid for one in descendants(os.getpid()) if not (one.dead or one.pid in spared)]
        if not living:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):  # who is stopped has no more children while others are killed
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        for pid in living:
            _wait_for_death(pid)
    raise ChildProcessError("processes that user code has started cannot be ended")


def descendants(root: int) -> list[Process]:
    """Return every process below ``root``, parents first."""
    children: dict[int, list[Process]] = {}
    for one in processes():
        children.setdefault(one.parent, []).append(one)
    found = children.get(root, [])
    for one in found:
        found += children.get(one.pid, [])
    return found


def processes() -> Iterator[Process]:
    """Yield all that there are."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a path for each costs
        if name.isdigit() and (found := process(int(name))):
            yield found


def process(pid: int) -> Process | None:
    """Return one process, or the one that a thread of that id belongs to; None: there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent, group = text.rpartition(")")[2].split()[:3]
    return Process(pid, int(parent), int(group), state in "ZX")


def _take_leave(spared: Container[int]) -> None:
    """Bury our own dead: grandchildren become ours when their parents die."""
    for one in [one for one in descendants(os.getpid()) if one.dead and one.parent == os.getpid()]:
        if one.pid not in spared:
            with contextlib.suppress(ChildProcessError):  # somebody else here has asked how it ended
                os.waitpid(one.pid, 0)


def _wait_for_death(pid: int) -> None:
    """Wait until a process that was killed has ended. An older kernel cannot tell: then it is looked for again."""
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
