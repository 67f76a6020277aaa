"""Starting a Python process of ours: in its own group, with a pipe that ends when we do."""

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NoReturn, Protocol

from s3mr.adapters.exhaustion import exhaustion
from s3mr.errors import RequestError

BROKEN_STATUS: Final = 70  # EX_SOFTWARE


class Worker(Protocol):
    """A worker process, as its parent holds it: what it needs of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...


def start(
    module: str, environment: Mapping[str, str], *, stderr: int | None = None, inherited: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start ``python -m module`` with pipes for its input and output; it leads its own process group and session.

    It has the ``inherited`` descriptors, under their numbers.

    Raises:
        RequestError: the system has no room for it.
    Its own session keeps a terminal's Ctrl-C from it: the parent decides how it ends.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            # -P: no file of the current folder shadows what we import; -u: what user code prints is not lost when it
            # dies.
            [sys.executable, "-P", "-u", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            pass_fds=inherited,
            start_new_session=True,
        )
    except OSError as error:
        if (why := exhaustion(error)) is None:
            raise
        raise RequestError(f"a process of s3mr could not be started: {why}") from error


def start_worker(environment: Mapping[str, str], stderr: int | None) -> Worker:
    """Start a worker that prints to ``stderr``, or to ours."""
    return start("s3mr.processes.worker_process", environment, stderr=stderr)


def show_as(name: str) -> None:
    """Have ``ps`` and ``top`` show this process under another name than its parent's, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def live(main: Callable[[], object]) -> NoReturn:
    """Be a process of ours until ``main`` returns; where the system has no room for it, say so in a line."""
    try:
        main()
    except (OSError, RuntimeError, MemoryError) as error:
        if (why := exhaustion(error)) is None:
            raise
        os.write(2, f"s3mr: a process of it ends: {why}\n".encode())
        os._exit(BROKEN_STATUS)
    sys.exit(0)


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
