"""Tell a child process that its parent has died: by a pipe whose writing end only the parent has.

The operating system closes that end however the parent dies, so the child does not have to poll.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO


def follow(lines: BinaryIO, on_line: Callable[[bytes], None], on_end: Callable[[], None]) -> threading.Thread:
    """Start a thread that calls ``on_line`` for each line of the parent's pipe, and ``on_end`` when the pipe ends.

    Return the thread.
    """

    def listen() -> None:
        for line in _until_broken(lines):
            on_line(line)
        on_end()

    thread = threading.Thread(target=listen, name="s3mr-lifeline", daemon=True)
    thread.start()
    return thread


def kill_group(pid: int) -> None:
    """Kill a process group by its leader's id. It is not an error if the group does not exist any more."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # macOS answers "not permitted" if only zombies are left in the group.
        return


def kill_own_group() -> None:
    """Kill this process and its process group, which it leads."""
    os.killpg(0, signal.SIGKILL)  # 0, because a sealed process cannot use its id after its supervisor has died


def _until_broken(lines: BinaryIO) -> Iterator[bytes]:
    try:
        yield from lines
    except OSError:
        return
