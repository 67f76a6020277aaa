"""Fork workers from a fork server: a process that has imported, once, all modules that a worker needs.

The imports take a worker 0.3 s of CPU; a fork takes a few ms. The fork server is itself a fork of the command, made
before the command has a thread or has loaded user code. The command sends requests over a socket: the environment of
a worker, the descriptors of its standard streams, and a pipe for its exit status. The fork server ends when the command
does. It needs Linux; on other systems each worker is started as a new process.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TextIO

from s3mr.adapters.exhaustion import exhaustion
from s3mr.processes import worker_process
from s3mr.processes.process_start import BROKEN_STATUS, Worker, set_process_name, start_worker

if TYPE_CHECKING:
    from s3mr.wiring import Stack

_NUMBER_BYTES: Final = 8
_DESCRIPTORS: Final = 4
_END_S: Final = 2.0  # for the fork server to end before it is killed
_COMMAND_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # only the command should react to them


class ForkServer:
    """A handle on a fork server process. ``fallback`` starts a worker if that process has died."""

    def __init__(
        self,
        pid: int,
        control: socket.socket,
        fallback: Callable[[Mapping[str, str], int | None], Worker] = start_worker,
    ) -> None:
        self.pid = pid
        self._control = control
        self._fallback = fallback
        self._lock = threading.Lock()

    def start(self, environment: Mapping[str, str], stderr: int | None) -> Worker:
        """Fork a worker."""
        (asked, stdin), (stdout, answers), (status, end) = os.pipe(), os.pipe(), os.pipe()
        try:
            pid = self._fork(environment, [asked, answers, 2 if stderr is None else stderr, end])
        finally:
            _close(asked, answers, end)
        if pid:
            return ForkedWorker(pid, stdin, stdout, status)
        _close(stdin, stdout, status)
        return self._fallback(environment, stderr)

    def close(self) -> None:
        """End the fork server. Workers keep running."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # already reaped, if SIGCHLD is ignored
            death = os.pidfd_open(self.pid)
            with selectors.DefaultSelector() as selector:
                selector.register(death, selectors.EVENT_READ)
                if not selector.select(_END_S):
                    os.kill(self.pid, signal.SIGKILL)
            _close(death)
            os.waitpid(self.pid, 0)

    def _fork(self, environment: Mapping[str, str], descriptors: list[int]) -> int:
        """Return the new worker's process id, or 0 if the fork failed."""
        body = json.dumps(dict(environment)).encode()
        with self._lock, contextlib.suppress(ConnectionError):
            socket.send_fds(self._control, [len(body).to_bytes(_NUMBER_BYTES)], descriptors)
            self._control.sendall(body)
            return int.from_bytes(self._control.recv(_NUMBER_BYTES, socket.MSG_WAITALL))
        return 0


class ForkedWorker:
    """A handle on a worker that is a child of the fork server, like `subprocess.Popen` for own children."""

    def __init__(self, pid: int, stdin: int, stdout: int, status: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "wb")
        self.stdout = os.fdopen(stdout, "rb")
        self._status_pipe = status
        self._status: int | None = None
        weakref.finalize(self, os.close, status)  # tells the fork server that it may reap: the pid is no longer used

    def poll(self) -> int | None:
        """Return the worker's exit status; None while it runs."""
        return self._wait(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the worker has ended, and return its exit status.

        Raises:
            subprocess.TimeoutExpired: it is still running.
        """
        status = self._wait(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return status

    def _wait(self, timeout_s: float | None) -> int | None:
        if self._status is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._status_pipe, selectors.EVENT_READ)
                if not selector.select(timeout_s):
                    return None
            # The pipe is empty if the fork server has died.
            self._status = int(os.read(self._status_pipe, _NUMBER_BYTES) or -signal.SIGKILL)
        return self._status


def start_fork_server() -> ForkServer | None:
    """Fork a fork server from this process, which has imported all that workers need; None if that is impossible."""
    if not supports_pidfd() or len(list(Path("/proc/self/task").iterdir())) > 1:
        return None
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _COMMAND_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _run_forked(lambda: serve(theirs))
    except OSError:  # too many processes; if workers cannot be started either, that is reported later
        ours.close()
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _COMMAND_SIGNALS)
        theirs.close()
    return ForkServer(pid, ours)


def serve(control: socket.socket, stack: "Stack | None" = None) -> None:
    """Run as a fork server: serve requests from ``control`` until it ends. Each worker starts with ``stack``."""
    _ForkServerProcess(control, stack).serve()


def supports_pidfd() -> bool:
    """Whether this system can report the death of a process by a pidfd."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:  # an old kernel, or a seccomp filter
        return False
    return True


def _run_forked(main: Callable[[], object]) -> NoReturn:
    """Run ``main`` in a forked process, and exit. It must not return: the callers belong to the parent."""
    try:
        main()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the last place that can report it
        if why := exhaustion(error):
            os.write(2, f"s3mr: one of its processes failed: {why}\n".encode())
        else:
            traceback.print_exc()
        os._exit(BROKEN_STATUS)


@dataclass(frozen=True, slots=True)
class _ForkServerProcess:
    """The fork server process."""

    control: socket.socket
    stack: "Stack | None"
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def serve(self) -> None:
        """Fork and reap workers until the command ends."""
        os.setsid()
        for number in _COMMAND_SIGNALS:  # discards one that was sent to the command's group before `setsid`
            signal.signal(number, signal.SIG_IGN)
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _COMMAND_SIGNALS)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, exit statuses are lost
        set_process_name("s3mr-forkserver")
        _drop_descriptors({2, self.control.fileno(), self.selector.fileno()})  # type: ignore[attr-defined]
        self.selector.register(self.control, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.data:
                    key.data()
                elif not self._handle_request():
                    _reap_children()
                    return

    def _handle_request(self) -> bool:
        """Fork a worker, or answer that this failed. Return False if the command has ended."""
        head, descriptors, _, _ = socket.recv_fds(self.control, _NUMBER_BYTES, _DESCRIPTORS)
        if len(head) < _NUMBER_BYTES:
            return False
        body = self.control.recv(int.from_bytes(head), socket.MSG_WAITALL)
        try:
            stdin, stdout, stderr, end = descriptors
            pid = os.fork()
        except (OSError, ValueError):  # too many processes, or too many open files
            _close(*descriptors)
            return self._refuse()
        if pid == 0:
            os.setsid()  # before anybody knows its pid: it is killed by its process group
            self.control.sendall(os.getpid().to_bytes(_NUMBER_BYTES))
            for own, given in enumerate((stdin, stdout, stderr)):
                os.dup2(given, own)
            _drop_descriptors({0, 1, 2})
            _run_forked(lambda: _run_worker(json.loads(body), self.stack))
        _close(stdin, stdout, stderr)
        death = os.pidfd_open(pid)
        self.selector.register(death, selectors.EVENT_READ, lambda: self._send_status(pid, death, end))
        return True

    def _refuse(self) -> bool:
        """Answer that the fork failed. Return False if the command has ended."""
        try:
            self.control.sendall(bytes(_NUMBER_BYTES))
        except ConnectionError:
            return False
        return True

    def _send_status(self, pid: int, death: int, end: int) -> None:
        """Send a worker's exit status. It is not reaped yet, so its pid stays valid while the command may use it."""
        self.selector.unregister(death)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None  # noqa: S101 - only None with WNOHANG
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        _close(death)
        with contextlib.suppress(BrokenPipeError):  # the command does not wait for it
            os.write(end, b"%d" % status)
        # The pipe becomes readable, with an error, when the command has closed its end.
        self.selector.register(end, selectors.EVENT_READ, lambda: self._reap(pid, end))

    def _reap(self, pid: int, end: int) -> None:
        self.selector.unregister(end)
        os.waitpid(pid, 0)
        _close(end)


def _reap_children() -> None:
    """Reap ended workers, so that their CPU time is added to this process' and to the command's."""
    with contextlib.suppress(ChildProcessError):  # no child is left
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run_worker(environment: dict[str, str], stack: "Stack | None") -> None:
    """Run a worker in this forked process, in the same state as in a new process."""
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # to be computed again, from the new environment
    sys.argv = [worker_process.__file__]
    sys.modules["__main__"] = worker_process
    if not sys.flags.safe_path:
        del sys.path[0]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = sys.__stdin__ = _stream(0, "rb", sys.__stdin__)  # type: ignore[misc] # replaced on purpose
    sys.stdout = sys.__stdout__ = _stream(1, "wb", sys.__stdout__)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "wb", sys.__stderr__)  # type: ignore[misc]
    worker_process.main(stack)


def _stream(descriptor: int, mode: Literal["rb", "wb"], like: TextIO | None) -> TextIOWrapper:
    """Return a standard stream. Output is unbuffered, so what user code prints is not lost when it dies."""
    raw = os.fdopen(descriptor, mode, buffering=0 if mode == "wb" else -1, closefd=False)
    encoding, errors = (like.encoding, like.errors) if like else (None, None)
    return TextIOWrapper(raw, encoding, errors, write_through=True)


def _drop_descriptors(kept: set[int]) -> None:
    """Drop inherited descriptors: the reader of a pipe waits until all its writers have closed it.

    Python's file objects still have the numbers and may close them at any time. So each number stays open, as devnull.
    """
    devnull = os.open(os.devnull, os.O_RDWR)
    for descriptor in [int(one.name) for one in Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError):  # the descriptor of the listing itself, now closed
            os.fstat(descriptor)
            if descriptor not in kept:
                os.dup2(devnull, descriptor)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
