"""What user code may replace in its process, and the engine counts on: Python's builtins, and the mask of new files.

User code shares the process with the engine that sorts, counts and writes its records. If it replaces `sorted` or
`len` for everybody, records are lost without an error. So what was replaced is noticed, put back, and reported.
"""

import builtins
import os
from pathlib import Path
from typing import Final

# Nothing of ours calls these, and replacing them is common.
FREE: Final = frozenset(
    ("print", "input", "help", "exit", "quit", "breakpoint", "copyright", "credits", "license", "_")
)
_MISSING: Final = object()


class InterpreterState:
    """What this process had when this was made: before user code had run."""

    def __init__(self) -> None:
        self._builtins = {name: value for name, value in builtins.__dict__.items() if name not in FREE}
        self._umask = umask()

    def put_back(self) -> list[str]:
        """Put back what was replaced, and return the names of builtins that were; the mask is just put back."""
        os.umask(self._umask)
        now = builtins.__dict__  # nothing in here calls a builtin
        replaced = [name for name, value in self._builtins.items() if now.get(name, _MISSING) is not value]
        now.update(self._builtins)
        return replaced


def umask() -> int:
    """Return the mask of this process. Where the system cannot tell, it is set for a moment."""
    try:
        lines = Path("/proc/self/status").read_bytes().splitlines()
        return next(int(line.split()[1], 8) for line in lines if line.startswith(b"Umask:"))
    except (OSError, StopIteration):
        own = os.umask(0o077)
        os.umask(own)
        return own


def complaint(replaced: list[str]) -> str:
    """Say what was replaced, and what to do instead."""
    names = ", ".join(f"builtins.{name}" for name in replaced)
    return (
        f"the job's code has replaced {names}, which s3mr needs as it was: define a function of that name in your own "
        "module instead, and use it there"
    )
