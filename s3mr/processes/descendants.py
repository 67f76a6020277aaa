"""All that a child has started, whatever it did to be let go: found by adopting orphans, which only Linux knows.

Source: prctl(2), PR_SET_CHILD_SUBREAPER; proc(5), ``/proc/<pid>/stat``.
"""

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_SET_CHILD_SUBREAPER: Final = 36
_ROUNDS_MAX: Final = 1_000


def adopt_orphans() -> None:
    """From now on, a descendant whose parent dies becomes a child of this process, not of the system's first one.

    Raises:
        OSError: the system refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


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
        with contextlib.suppress(ChildProcessError):  # a grandchild becomes ours, and is waited for in the next round
            os.waitpid(-1, 0)
    raise ChildProcessError("processes that user code has started cannot be ended")


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
