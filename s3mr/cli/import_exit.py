"""The job's code runs in the command while it is imported, and could end it without a word: with status 0, too.

``os._exit`` and ``os.exec…`` leave Python no chance to say anything. So the command has its own in their place, also in
``posix``, where they come from. In a process that the job's code forks, they do what they always do. Compiled code can
still call the system's ``_exit``.
"""

import os
import posix
from collections.abc import Callable
from typing import Any, Final

from s3mr.cli.exit_status import EXIT_REFUSED
from s3mr.cli.streams import say

_LEAVING: Final = ("_exit", "execv", "execve")  # by which all others of the family are made


def keep_from_leaving(place: str) -> None:
    """From now on, when this process is left by the code of ``place``, name that, and exit as refused."""
    own_pid = os.getpid()
    leave = os._exit
    for name in _LEAVING:
        ours = _said_first(name, getattr(os, name), own_pid, lambda said: _leave(place, said, leave))
        for module in (os, posix):
            setattr(module, name, ours)


def _said_first(name: str, original: Callable[..., Any], own_pid: int, end: Callable[[str], Any]) -> Callable[..., Any]:
    def called(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as the original takes them
        if os.getpid() == own_pid:
            end(f"os.{name}")
        return original(*arguments, **more)

    return called


def _leave(place: str, said: str, leave: Callable[[int], Any]) -> None:
    try:
        say(
            f"s3mr: {place} has ended this command: its code called {said} while it was imported, or later in a thread "
            'of its own: take that out, or put it where only a script runs it (if __name__ == "__main__")',
            err=True,
        )
    finally:
        leave(EXIT_REFUSED)
