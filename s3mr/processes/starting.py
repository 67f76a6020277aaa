"""Starting a Python process of ours: in its own group, with a pipe that ends when we do."""

import subprocess
import sys
from collections.abc import Mapping


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
