"""Start a Python process of s3mr: in its own process group, with a pipe that ends when its parent does."""

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
    """A parent's handle on a worker process: the used part of `subprocess.Popen`."""

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
    """Start ``python -m module`` with pipes for its input and output, in its own process group and session.

    In its own session it gets no Ctrl-C from the terminal: the parent decides how it ends. It inherits the descriptors
    ``inherited``, with the same numbers.

    Raises:
        RequestError: the system has too many processes or too little memory.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            # -P: files of the current folder must not shadow imports.
            # -u: what user code prints must not be lost when it dies.
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
    """Start a worker that prints to ``stderr``; None means this process' own."""
    return start("s3mr.processes.worker_process", environment, stderr=stderr)


def set_process_name(name: str) -> None:
    """Set the name that ``ps`` and ``top`` show for this process, if the system supports it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def run_process(main: Callable[[], object]) -> NoReturn:
    """Run ``main`` and exit. If a system resource is exhausted, print one line instead of a traceback."""
    try:
        main()
    except (OSError, RuntimeError, MemoryError) as error:
        if (why := exhaustion(error)) is None:
            raise
        os.write(2, f"s3mr: one of its processes failed: {why}\n".encode())
        os._exit(BROKEN_STATUS)
    sys.exit(0)


@contextmanager
def without_collections() -> Iterator[None]:
    """Pause garbage collection while a process imports its modules, which all stay in memory.

    This saves a tenth of the import time, and a tenth of every later collection, which skips the imported objects.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
