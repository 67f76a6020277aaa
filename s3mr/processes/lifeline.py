"""How a child process learns that its parent has died: a pipe of which only the parent holds the writing end.

The operating system closes that end whatever the parent dies of, so nothing has to be asked at intervals.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO


def follow(lines: BinaryIO, heard: Callable[[bytes], None], at_end: Callable[[], None]) -> threading.Thread:
    """Give every line of the parent's pipe to ``heard``, in a thread, and call ``at_end`` when the pipe has ended.

    Return the thread.
    """

    def listen() -> None:
        for line in _until_broken(lines):
            heard(line)
        at_end()

    thread = threading.Thread(target=listen, name="s3mr-lifeline", daemon=True)
    thread.start()
    return thread


def kill_group(pid: int) -> None:
    """Kill a process that leads its own group, with everything that it has started; gone already is no error."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # macOS says "not permitted" of a group of which only zombies are left.
        return


def kill_own_group() -> None:
    """Kill this process, which leads its own group, with everything that it has started."""
    os.killpg(0, signal.SIGKILL)  # by its id, a sealed process may not, once its supervisor is dead


def _until_broken(lines: BinaryIO) -> Iterator[bytes]:
    try:
        yield from lines
    except OSError:
        return
