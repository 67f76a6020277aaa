"""A process that has imported s3mr, and forks for each command that it is asked for (`tests.warm_commands`).

The fork then does what the console script ``s3mr`` does, with the arguments, folder, variables and files that it was
given: a process of its own, which any signal may end. It has only not started an interpreter and imported s3mr again.
"""

import gc
import io
import json
import os
import pkgutil
import signal
import socket
import sys
import types
from importlib import import_module
from typing import Any


def import_all() -> None:
    """Import what commands import, now; nothing is started by that."""
    import boto3  # noqa: F401

    import s3mr

    for module in pkgutil.walk_packages(s3mr.__path__, "s3mr."):
        if not module.name.endswith(("_process", "embedded_server", "foreign_pip")):
            import_module(module.name)


def next_request(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return what is asked next, with the files of the command and the socket for its status; nothing at the end."""
    size, files, *_ = socket.recv_fds(control, 4, 4)
    if not size:
        return None
    with control.makefile("rb", buffering=0) as stream:
        body = bytearray()
        while len(body) < int.from_bytes(size, "big"):
            body += stream.read(int.from_bytes(size, "big") - len(body)) or b""
    return json.loads(body), files


def wait_for_command(answers: socket.socket) -> None:
    """In a fork: fork the command, tell its id and then its status, and end; return in the command alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        return
    answers.sendall(pid.to_bytes(4, "big"))
    _, status = os.waitpid(pid, 0)
    answers.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def become(request: dict[str, Any], files: list[int], script: str) -> None:
    """Be the process that the request is for."""
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
    """Fork for each request; return whether this is a fork that has become the command's process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a fork
    while asked := next_request(control):
        request, (*files, answers) = asked
        if os.fork() == 0:
            control.close()
            with socket.socket(fileno=answers) as told:
                wait_for_command(told)
            become(request, files, script)
            return True
        for file in (*files, answers):
            os.close(file)
    return False


if __name__ == "__main__":
    import_all()
    gc.collect()
    gc.freeze()
    if serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]):
        from s3mr.cli import main

        sys.exit(main())
