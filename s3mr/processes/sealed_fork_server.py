"""Start the fork server of a worker function's environment, sealed if the system supports it."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from s3mr.processes.fork_server import ForkServer, supports_pidfd
from s3mr.processes.process_start import Worker, start_worker
from s3mr.processes.sealed_fork_server_process import GO, MESSAGE_BYTES_MAX, SEALED, UNSEALED
from s3mr.processes.syscall_supervisor import Supervisor

_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Workers:
    """Starts workers, each for one invocation. ``unsealed_reason`` says why they are not sealed; None if they are."""

    fork_server: ForkServer | None
    supervisor: Supervisor | None
    unsealed_reason: str | None

    def start(self, environment: Mapping[str, str], stderr: int | None) -> Worker:
        """Start a worker.

        Raises:
            ChildProcessError: the fork server has died.
        """
        if self.supervisor:
            self.supervisor.allow_processes()
        return self.fork_server.start(environment, stderr) if self.fork_server else start_worker(environment, stderr)

    def forbid_processes(self) -> None:
        """Forbid workers and their descendants to start processes, if there is a supervisor."""
        if self.supervisor:
            self.supervisor.forbid_processes()

    @property
    def permanent_pids(self) -> tuple[int, ...]:
        """The processes that serve more than one invocation."""
        return (self.fork_server.pid,) if self.fork_server else ()


def prepare_workers(environment: Mapping[str, str], forbidden: str | None, group: int | None) -> Workers:
    """Start a sealed fork server, or the best that the system supports.

    No worker may connect to the address ``forbidden``, as ``host:port``. All workers get the group ``group``, which
    only root can set.
    """
    if not supports_pidfd():
        return Workers(None, None, "the system cannot report the deaths of processes (pidfd_open)")
    try:
        fork_server, supervisor = _start_sealed(environment, forbidden or "", group)
    except OSError as error:
        return Workers(_start_unsealed(environment), None, str(error))
    return Workers(fork_server, supervisor, None)


def _start_sealed(environment: Mapping[str, str], forbidden: str, group: int | None) -> tuple[ForkServer, Supervisor]:
    fork_server, control = _start(environment, "sealed", forbidden, str(group or ""))
    try:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES_MAX, 1)
        _check_sealed(message)
        supervisor = Supervisor(descriptors[0], fork_server_pid=fork_server.pid, forbidden=forbidden)
        control.send(GO)
        _check_sealed(control.recv(MESSAGE_BYTES_MAX))
    except BaseException:
        fork_server.close()
        raise
    control.settimeout(None)
    return fork_server, supervisor


def _check_sealed(message: bytes) -> None:
    if message != SEALED:
        raise OSError(message.decode(errors="replace") or "the fork server has died")


def _start_unsealed(environment: Mapping[str, str]) -> ForkServer:
    fork_server, control = _start(environment, "", "", "")
    if control.recv(MESSAGE_BYTES_MAX) != UNSEALED:
        raise ChildProcessError("the fork server has died")
    control.settimeout(None)
    return fork_server


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
    process.returncode = 0  # `ForkServer` waits for it instead of `Popen`
    return ForkServer(process.pid, ours, _refuse), ours


def _refuse(_environment: Mapping[str, str], _stderr: int | None) -> NoReturn:
    raise ChildProcessError(f"the fork server of process {os.getpid()} has died")
