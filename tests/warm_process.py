"""A process that has imported s3mr and moto, and forks a process for each command (`tests.warm_commands`).

The fork does what the console script ``s3mr`` does, with the arguments, folder, environment and files of the request.
It is a separate process that any signal can end, but it need not start an interpreter or import s3mr. It also forks the
processes that the command would start (`ForkedProcess`): the embedded cloud's server imports moto, which takes longer
than a small job.
"""

import contextlib
import gc
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn


def import_all() -> None:
    """Import the modules that commands import. Importing them starts nothing."""
    import boto3  # noqa: F401

    import s3mr

    for module in pkgutil.walk_packages(s3mr.__path__, "s3mr."):
        if not module.name.endswith(("_process", "embedded_server", "foreign_pip")):
            import_module(module.name)


def import_services() -> None:
    """Import moto for the embedded cloud's server, and undo its changes to the AWS clients of commands."""
    from botocore import handlers

    from s3mr.local.embedded_server import services

    kept = list(handlers.BUILTIN_HANDLERS)
    services()
    handlers.BUILTIN_HANDLERS[:] = kept


class ForkedProcess:
    """Does what `s3mr.processes.process_start.start` does, but forks this process instead of starting an interpreter.

    It has the interface of `subprocess.Popen`.
    """

    def __init__(
        self, module: str, environment: Mapping[str, str], *, stderr: int | None = None, inherited: Sequence[int] = ()
    ) -> None:
        (stdin, ours), (theirs, stdout) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run_module(module, environment, [stdin, stdout, 2 if stderr is None else stderr], inherited)
        os.close(stdin)
        os.close(stdout)
        self.stdin, self.stdout = os.fdopen(ours, "wb"), os.fdopen(theirs, "rb")
        self._status: int | None = None

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        if timeout is not None and self._status is None:
            with contextlib.closing(os.fdopen(os.pidfd_open(self.pid), "rb", buffering=0)) as death:
                if not select.select([death], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired("a forked process", timeout)
        status = self._wait(0)
        assert status is not None
        return status

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _wait(self, options: int) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, options)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status


def _run_module(module: str, environment: Mapping[str, str], files: list[int], inherited: Sequence[int]) -> NoReturn:
    """Run ``python -m module`` in a fork; never return."""
    try:
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
        first = 3
        for kept in sorted(inherited):
            os.closerange(first, kept)
            os.set_inheritable(kept, True)
            first = kept + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(environment)
        sys.modules.pop(module, None)  # it runs as the main module
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:  # noqa: BLE001 - an interpreter prints every exception and exits
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def next_request(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next request, with the command's files and the socket for its status; None if there are no more."""
    size, files, *_ = socket.recv_fds(control, 4, 4)
    if not size:
        return None
    with control.makefile("rb", buffering=0) as stream:
        body = bytearray()
        while len(body) < int.from_bytes(size, "big"):
            body += stream.read(int.from_bytes(size, "big") - len(body)) or b""
    return json.loads(body), files


def wait_for_command(answers: socket.socket) -> None:
    """In a fork: fork the command, send its process id and then its status, and exit. Only the command returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        return
    answers.sendall(pid.to_bytes(4, "big"))
    _, status = os.waitpid(pid, 0)
    answers.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def become(request: dict[str, Any], files: list[int], script: str) -> None:
    """Turn this process into the requested command."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.umask(request["umask"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = [script, *request["arguments"]]
    sys.path[0] = os.path.dirname(script)  # noqa: PTH120 - as the interpreter does
    main = types.ModuleType("__main__")
    main.__file__ = script
    sys.modules["__main__"] = main
    errors = io.BufferedWriter(io.FileIO(2, "w", closefd=False))
    streams = {
        "stdin": io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False))),
        "stdout": io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False))),
        "stderr": io.TextIOWrapper(errors, errors="backslashreplace", line_buffering=True),
    }
    for name, stream in streams.items():
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def serve(control: socket.socket, script: str) -> bool:
    """Fork for each request; return true in the fork that has become the command, false when requests end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that forks leave no zombies
    while received := next_request(control):
        request, (*files, answers) = received
        if os.fork() == 0:
            control.close()
            with socket.socket(fileno=answers) as status:
                wait_for_command(status)
            become(request, files, script)
            return True
        for file in (*files, answers):
            os.close(file)
    return False


if __name__ == "__main__":
    import_all()
    import_services()
    gc.collect()
    gc.freeze()
    if serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]):
        from s3mr.cli import main
        from s3mr.local import reaper

        reaper.start = ForkedProcess  # type: ignore[assignment, attr-defined]
        sys.exit(main())
