"""Protect interpreter state that s3mr relies on and user code can change: Python's builtins, and the umask.

User code runs in the same process as the engine that sorts, counts and writes its records. If it replaces `sorted` or
`len` globally, records are lost without an error. So s3mr detects and restores replaced builtins, and reports them.
"""

import builtins
import os
from pathlib import Path
from typing import Final

# s3mr calls none of these, and replacing them is common.
FREE: Final = frozenset(
    ("print", "input", "help", "exit", "quit", "breakpoint", "copyright", "credits", "license", "_")
)
_MISSING: Final = object()


class InterpreterState:
    """The state of this process when this object was created, before user code runs."""

    def __init__(self) -> None:
        self._builtins = {name: value for name, value in builtins.__dict__.items() if name not in FREE}
        self._umask = umask()

    def restore(self) -> list[str]:
        """Restore builtins and umask. Return the names of the replaced builtins; the umask is not reported."""
        os.umask(self._umask)
        now = builtins.__dict__  # the lines below must not call a builtin: it may be replaced
        replaced = [name for name, value in self._builtins.items() if now.get(name, _MISSING) is not value]
        now.update(self._builtins)
        return replaced


def umask() -> int:
    """Return the umask of this process. Systems without ``/proc`` can only tell it by setting it for a moment."""
    try:
        lines = Path("/proc/self/status").read_bytes().splitlines()
        return next(int(line.split()[1], 8) for line in lines if line.startswith(b"Umask:"))
    except (OSError, StopIteration):
        own = os.umask(0o077)
        os.umask(own)
        return own


def replaced_message(replaced: list[str]) -> str:
    """Return the error message for ``replaced`` builtins."""
    names = ", ".join(f"builtins.{name}" for name in replaced)
    return (
        f"the job's code has replaced {names}, which s3mr needs: define a function of that name in your own module "
        "instead, and use it there"
    )
