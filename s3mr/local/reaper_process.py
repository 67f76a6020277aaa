"""The caretaker of a command: a process that kills and removes what the command has left when it ends.

Its standard input names the processes to kill and the folders to remove, and ends when the command does, whatever that
dies of. Each line is a JSON object with one key: ``kill`` or ``spare`` a process group, ``remove`` or ``keep`` a path.
"""

import contextlib
import json
import os
import shutil
import threading
import time

from s3mr.processes.lifeline import follow, kill_group
from s3mr.processes.process_start import run_process

REMOVE_TRIES = 50
REMOVE_PAUSE_S = 0.02


class ReaperProcess:
    """Kills and removes what the command has left when it ends."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._paths: set[str] = set()

    def hear(self, line: bytes) -> None:
        """Note one line of the command's."""
        for verb, value in json.loads(line).items():
            if verb == "kill":
                self._groups.add(value)
            elif verb == "spare":
                self._groups.discard(value)
            elif verb == "remove":
                self._paths.add(value)
            elif verb == "keep":
                self._paths.discard(value)

    def clean_up(self) -> None:
        """Kill, remove, and end this process."""
        for group in self._groups:
            kill_group(group)
        for path in self._paths:
            remove_folder(path)
        os._exit(0)


def start_reaping() -> threading.Thread:
    """Take care of the command that has started this process, in a thread, which is returned."""
    caretaker = ReaperProcess()
    return follow(os.fdopen(0, "rb", buffering=0, closefd=False), caretaker.hear, caretaker.clean_up)


def remove_folder(path: str) -> None:
    """Remove a folder in which a process that is just being killed may still write.

    If user code has put something else in its place, a link say, that alone is removed.
    """
    for _ in range(REMOVE_TRIES):
        if os.path.isdir(path):  # noqa: PTH112 - a name that cannot be is of no folder; `Path` would raise
            shutil.rmtree(path, ignore_errors=True)  # does nothing to a link; would wait for a pipe's writer
        with contextlib.suppress(OSError, ValueError):  # still a folder; or gone, or a name that cannot be
            os.unlink(path)  # noqa: PTH108 - as above
        if not os.path.lexists(path):
            return
        time.sleep(REMOVE_PAUSE_S)


if __name__ == "__main__":
    run_process(lambda: start_reaping().join())
