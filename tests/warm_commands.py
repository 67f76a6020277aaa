"""Run whole ``s3mr`` commands as forks of one warm process, instead of starting an interpreter for each.

This saves half a second of CPU per command, and more per embedded cloud. Tests of the command's startup and imports
start the real one.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

S3MR: Final = Path(sys.executable).with_name("s3mr")
_MAIN: Final = Path(__file__).with_name("warm_process.py")


class WarmCommands:
    """Starts commands, which may run concurrently. The warm process starts with the first command."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process and self._control:
            self._control.close()  # the warm process ends when this closes
            self._process.wait()

    def start(
        self,
        arguments: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str],
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> "WarmCommand":
        """Start ``s3mr`` with these arguments and environment variables in ``folder``, with empty standard input."""
        request = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "environment": dict(environment),
        }
        ours, theirs = socket.socketpair()
        with ExitStack() as ends, theirs:
            nothing = ends.enter_context(Path(os.devnull).open("rb"))
            read, written = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
            ends.enter_context(written)
            errors, errors_written = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
            ends.enter_context(errors_written)
            if stdout != subprocess.PIPE:
                read.close()
            out = written if stdout == subprocess.PIPE else stdout
            files = [nothing, out, errors_written, theirs]
            self._ask(request, [file if isinstance(file, int) else file.fileno() for file in files])
        return WarmCommand([str(S3MR), *request["arguments"]], ours, read, errors)

    def run(
        self, arguments: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Start ``s3mr`` as `start` does, and wait until it ends.

        Raises:
            subprocess.TimeoutExpired: it did not end in time and was killed.
        """
        with self.start(arguments, folder=folder, environment=environment) as command:
            try:
                out, err = command.communicate(timeout_s)
            except subprocess.TimeoutExpired:
                command.kill()
                raise
            return subprocess.CompletedProcess(command.args, command.wait(), out, err)

    def _ask(self, request: Mapping[str, object], files: list[int]) -> None:
        with self._turn:
            if self._control is None:
                self._control, theirs = socket.socketpair()
                with theirs:
                    command = [sys.executable, str(_MAIN), str(theirs.fileno()), str(S3MR)]
                    self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
            umask = os.umask(0)
            os.umask(umask)
            body = json.dumps({**request, "umask": umask}).encode(errors="surrogateescape")
            socket.send_fds(self._control, [len(body).to_bytes(4, "big")], files)
            self._control.sendall(body)


class WarmCommand:
    """A running command, with the interface of `subprocess.Popen`. Its parent is a process that waits for it."""

    def __init__(self, args: list[str], status: socket.socket, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.args = args
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._status = status
        self.pid = int.from_bytes(status.recv(4, socket.MSG_WAITALL), "big")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stdout.close()
        self.stderr.close()
        if error is not None:
            self.kill()
        self.wait()

    def poll(self) -> int | None:
        """Return the exit status, or None while the command runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the command ends, and return its exit status.

        Raises:
            subprocess.TimeoutExpired: it is still running.
        """
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = int.from_bytes(self._status.recv(4, socket.MSG_WAITALL), "big", signed=True)
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the command."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Wait until the command ends, and return its stdout and stderr.

        Raises:
            subprocess.TimeoutExpired: it is still running, or one of its children holds an output open.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with ThreadPoolExecutor(2) as readers:
            read = [readers.submit(_read, stream, until) for stream in (self.stdout, self.stderr)]
            out, err = (one.result() for one in read)
        if out is None or err is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(None if until is None else max(0.0, until - time.monotonic()))
        return out, err


def _read(stream: IO[bytes], until: float | None) -> bytes | None:
    """Return the rest of a stream and close it, or None if it does not end in time."""
    content = b""
    while not stream.closed:
        left_s = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([stream], [], [], left_s)[0]:
            return None
        block = os.read(stream.fileno(), 2**16)
        content += block
        if not block:
            stream.close()
    return content
