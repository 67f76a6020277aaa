"""Starting a Python process of ours: in its own group, with a pipe that ends when we do."""

import gc
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def start(module: str, environment: Mapping[str, str], *, stderr: int | None = None) -> subprocess.Popen[bytes]:
    """Start ``python -m module`` with pipes for its input and output; it leads its own process group and session.

    Its own session keeps a terminal's Ctrl-C from it: the parent decides how it ends.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        # -P: no file of the current folder shadows what we import; -u: what user code prints is not lost when it dies.
        [sys.executable, "-P", "-u", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
        start_new_session=True,
    )


@contextmanager
def without_collections() -> Iterator[None]:
    """Have no cycles collected while a process imports what it needs: all of that stays.

    It takes a tenth of the time, and a tenth of every later collection, which passes over what was imported.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
