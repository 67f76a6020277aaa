"""What a worker function's process does to the processes below it, and keeps from them. Linux knows all of this.

Sources: prctl(2), PR_SET_CHILD_SUBREAPER and PR_SET_DUMPABLE; proc(5), ``/proc/<pid>/stat``.
"""

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_SET_DUMPABLE: Final = 4
_SET_CHILD_SUBREAPER: Final = 36
_ROUNDS_MAX: Final = 1_000


def adopt_orphans() -> None:
    """From now on, a descendant whose parent dies becomes a child of this process, not of the system's first one.

    Raises:
        OSError: the system refuses.
    """
    _prctl(_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Keep this process' memory, environment and descriptors from other processes of the same user.

    Raises:
        OSError: the system refuses.
    """
    _prctl(_SET_DUMPABLE, 0)


def kill_descendants() -> None:
    """Kill every process below this one, and those that they start meanwhile, until there is none.

    Raises:
        ChildProcessError: they start others faster than they can be killed.
    """
    for _ in range(_ROUNDS_MAX):
        below = _descendants(os.getpid())
        if not below:
            return
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _wait_for_the_dead()
    raise ChildProcessError("processes that user code has started cannot be ended")


def _wait_for_the_dead() -> None:
    """Wait until one has died, and take leave of all that have: grandchildren become ours when their parents die."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, 0)
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                children.setdefault(int(after_name[1]), []).append(int(entry.name))
    found, left = [], [root]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")
