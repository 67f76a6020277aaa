"""Report a job's code that exits the process while the command imports it.

Importing a job runs its code in the command, and that code could end it silently, even with status 0. ``os._exit``
and ``os.exec…`` give Python no chance to print an error, so the command replaces them, also in ``posix``, where they
come from. In a process that the job's code forks, they work as usual. Compiled code can still call the system's
``_exit``.
"""

import os
import posix
from collections.abc import Callable
from typing import Any, Final

from s3mr.cli.exit_status import EXIT_REFUSED
from s3mr.cli.streams import say

_EXITS: Final = ("_exit", "execv", "execve")  # the other functions of the family call these


def keep_from_leaving(place: str) -> None:
    """From now on, if the code of ``place`` exits this process, print an error that names it, and exit as refused."""
    own_pid = os.getpid()
    leave = os._exit
    for name in _EXITS:
        replacement = _guarded(name, getattr(os, name), own_pid, lambda called: _leave(place, called, leave))
        for module in (os, posix):
            setattr(module, name, replacement)


def _guarded(name: str, original: Callable[..., Any], own_pid: int, end: Callable[[str], Any]) -> Callable[..., Any]:
    def guard(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as the original takes them
        if os.getpid() == own_pid:
            end(f"os.{name}")
        return original(*arguments, **more)

    return guard


def _leave(place: str, called: str, leave: Callable[[int], Any]) -> None:
    try:
        say(
            f"s3mr: {place} ended this command: its code called {called} during import, or later in its own thread. "
            'Remove that call, or move it below if __name__ == "__main__", so that only a script runs it',
            err=True,
        )
    finally:
        leave(EXIT_REFUSED)
