"""The template of a worker function's environment, as the function's process holds it; sealed, where the system can."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from s3mr.processes.fork_server import ForkServer, tells_of_deaths
from s3mr.processes.process_start import Worker, start_worker
from s3mr.processes.sealed_fork_server_process import GO, OPEN, SAID_BYTES_MAX, SEALED
from s3mr.processes.syscall_supervisor import Supervisor

_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Workers:
    """Starts workers, each for one invocation. ``open_because`` says why they are not sealed; None: they are."""

    template: ForkServer | None
    supervisor: Supervisor | None
    open_because: str | None

    def start(self, environment: Mapping[str, str], stderr: int | None) -> Worker:
        """Start a worker.

        Raises:
            ChildProcessError: the template has died.
        """
        if self.supervisor:
            self.supervisor.open()
        return self.template.start(environment, stderr) if self.template else start_worker(environment, stderr)

    def stop_starting(self) -> None:
        """Have nothing below start a process from now on, where that can be forbidden."""
        if self.supervisor:
            self.supervisor.shut()

    @property
    def kept(self) -> tuple[int, ...]:
        """The processes that serve more than one invocation."""
        return (self.template.pid,) if self.template else ()


def prepare_workers(environment: Mapping[str, str], forbidden: str | None, group: int | None) -> Workers:
    """Start a template that is sealed, or as much of that as the system allows.

    ``forbidden``, as ``host:port``, is where no worker may connect to. ``group`` is given to all workers; only
    root can do that.
    """
    if not tells_of_deaths():
        return Workers(None, None, "the system tells nobody of the deaths of processes (pidfd_open)")
    try:
        template, supervisor = _sealed(environment, forbidden or "", group)
    except OSError as error:
        return Workers(_open(environment), None, str(error))
    return Workers(template, supervisor, None)


def _sealed(environment: Mapping[str, str], forbidden: str, group: int | None) -> tuple[ForkServer, Supervisor]:
    template, control = _start(environment, "sealed", forbidden, str(group or ""))
    try:
        said, descriptors, _, _ = socket.recv_fds(control, SAID_BYTES_MAX, 1)
        _check(said)
        supervisor = Supervisor(descriptors[0], template=template.pid, forbidden=forbidden)
        control.send(GO)
        _check(control.recv(SAID_BYTES_MAX))
    except BaseException:
        template.close()
        raise
    control.settimeout(None)
    return template, supervisor


def _check(said: bytes) -> None:
    if said != SEALED:
        raise OSError(said.decode(errors="replace") or "the template has died")


def _open(environment: Mapping[str, str]) -> ForkServer:
    template, control = _start(environment, "", "", "")
    if control.recv(SAID_BYTES_MAX) != OPEN:
        raise ChildProcessError("the template has died")
    control.settimeout(None)
    return template


def _start(environment: Mapping[str, str], *arguments: str) -> tuple[ForkServer, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(_START_S)
    module = "s3mr.processes.sealed_fork_server_process"
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", module, str(theirs.fileno()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
            pass_fds=[theirs.fileno()],
        )
    process.returncode = 0  # it is `ForkServer` that waits for it
    return ForkServer(process.pid, ours, _refuse), ours


def _refuse(_environment: Mapping[str, str], _stderr: int | None) -> NoReturn:
    raise ChildProcessError(f"the template of process {os.getpid()} has died")
