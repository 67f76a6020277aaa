"""Whole ``s3mr`` commands for tests that need no interpreter of their own: each is a fork of one warm process.

A command takes half a second of a processor less than one that starts an interpreter and imports s3mr. Tests of how
the command starts, of what it imports and of signals start the real one.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

S3MR: Final = Path(sys.executable).with_name("s3mr")
_MAIN: Final = Path(__file__).with_name("warm_process.py")


class WarmCommands:
    """Runs commands to their end, also several at once. Nothing is started before the first."""

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
            self._control.close()  # at which it ends
            self._process.wait()

    def run(
        self, arguments: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``s3mr`` with these arguments and variables in a folder; its input is empty.

        Raises:
            subprocess.TimeoutExpired: it has not ended in time, and was killed.
        """
        with ExitStack() as open_until_the_end:
            out, err = open_until_the_end.enter_context(_Pipe()), open_until_the_end.enter_context(_Pipe())
            nothing = open_until_the_end.enter_context(Path(os.devnull).open("rb"))
            ours, theirs = socket.socketpair()
            open_until_the_end.enter_context(ours)
            request = {
                "arguments": [str(argument) for argument in arguments],
                "folder": str(folder),
                "environment": dict(environment),
            }
            with theirs:
                self._ask(request, [nothing.fileno(), out.written.fileno(), err.written.fileno(), theirs.fileno()])
            pid = int.from_bytes(ours.recv(4), "big")
            ours.settimeout(timeout_s)
            try:
                status = int.from_bytes(ours.recv(4), "big", signed=True)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired([str(S3MR), *request["arguments"]], timeout_s) from None
            return subprocess.CompletedProcess([str(S3MR), *arguments], status, out.content(), err.content())

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


class _Pipe:
    """What is written into a pipe, read by a thread until nobody has it open for writing."""

    def __init__(self) -> None:
        read, write = os.pipe()
        self.written: IO[bytes] = os.fdopen(write, "wb", buffering=0)
        self._read: IO[bytes] = os.fdopen(read, "rb")
        self._content = b""
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.content()

    def content(self) -> bytes:
        """Return all of it."""
        self.written.close()
        self._reader.join()
        return self._content

    def _collect(self) -> None:
        with self._read:
            self._content = self._read.read()
