"""The reaper of a command: a process that kills the processes and removes the folders a command leaves when it ends.

Its standard input names them, and ends when the command ends, even if the command is killed. Each line is a JSON object
with one key: ``kill`` or ``spare`` with a process group, ``remove`` or ``keep`` with a path.
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
    """Kills processes and removes folders when the command ends."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._paths: set[str] = set()

    def hear(self, line: bytes) -> None:
        """Note one line of the command."""
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
        """Kill the processes, remove the folders, and end this process."""
        for group in self._groups:
            kill_group(group)
        for path in self._paths:
            remove_folder(path)
        os._exit(0)


def start_reaping() -> threading.Thread:
    """Follow the command that started this process, in a thread, which is returned."""
    reaper = ReaperProcess()
    return follow(os.fdopen(0, "rb", buffering=0, closefd=False), reaper.hear, reaper.clean_up)


def remove_folder(path: str) -> None:
    """Remove a folder, although a process that is being killed may still write to it.

    If user code replaced it, for example with a link, this removes only the link.
    """
    for _ in range(REMOVE_TRIES):
        if os.path.isdir(path):  # noqa: PTH112 - False for an invalid name; `Path` would raise
            shutil.rmtree(path, ignore_errors=True)  # does nothing to a link; would wait for a pipe's writer
        with contextlib.suppress(OSError, ValueError):  # still a folder, or gone, or an invalid name
            os.unlink(path)  # noqa: PTH108 - as above
        if not os.path.lexists(path):
            return
        time.sleep(REMOVE_PAUSE_S)


if __name__ == "__main__":
    run_process(lambda: start_reaping().join())
