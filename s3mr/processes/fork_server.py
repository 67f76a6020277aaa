"""Workers that are forked from a template: a process that has imported, once, all that a worker needs.

Importing takes a worker 0.3 s of CPU, forking it a few ms. The template is a fork of the command itself, made before
that has a thread, or has loaded any of the user's code. It is asked over a socket: for an environment, with the
descriptors of the worker's standard streams and of the pipe on which to tell how the worker has ended. It ends when the
command does. Only Linux has what it takes; elsewhere every worker is started anew.
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
from s3mr.processes.process_start import BROKEN_STATUS, Worker, show_as, start_worker

if TYPE_CHECKING:
    from s3mr.wiring import Stack

_NUMBER_BYTES: Final = 8
_DESCRIPTORS: Final = 4
_END_S: Final = 2.0  # in which the template must have heard that it may end
_MEANT_FOR_THE_COMMAND: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ForkServer:
    """A process' hold on its template. ``instead`` starts a worker where the template has died."""

    def __init__(
        self,
        pid: int,
        control: socket.socket,
        instead: Callable[[Mapping[str, str], int | None], Worker] = start_worker,
    ) -> None:
        self.pid = pid
        self._control = control
        self._instead = instead
        self._turn = threading.Lock()

    def start(self, environment: Mapping[str, str], stderr: int | None) -> Worker:
        """Fork a worker."""
        (asked, stdin), (stdout, answers), (status, end) = os.pipe(), os.pipe(), os.pipe()
        try:
            pid = self._fork(environment, [asked, answers, 2 if stderr is None else stderr, end])
        finally:
            _close(asked, answers, end)
        if pid:
            return Forked(pid, stdin, stdout, status)
        _close(stdin, stdout, status)
        return self._instead(environment, stderr)

    def close(self) -> None:
        """End the template; workers do not end with it."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # whoever ignores SIGCHLD has no dead children
            death = os.pidfd_open(self.pid)
            with selectors.DefaultSelector() as selector:
                selector.register(death, selectors.EVENT_READ)
                if not selector.select(_END_S):
                    os.kill(self.pid, signal.SIGKILL)
            _close(death)
            os.waitpid(self.pid, 0)

    def _fork(self, environment: Mapping[str, str], descriptors: list[int]) -> int:
        """Return the new worker's process id; 0: there is none."""
        body = json.dumps(dict(environment)).encode()
        with self._turn, contextlib.suppress(ConnectionError):
            socket.send_fds(self._control, [len(body).to_bytes(_NUMBER_BYTES)], descriptors)
            self._control.sendall(body)
            return int.from_bytes(self._control.recv(_NUMBER_BYTES, socket.MSG_WAITALL))
        return 0


class Forked:
    """A worker that is the template's child, held as `subprocess.Popen` holds one's own."""

    def __init__(self, pid: int, stdin: int, stdout: int, status: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "wb")
        self.stdout = os.fdopen(stdout, "rb")
        self._said = status
        self._status: int | None = None
        weakref.finalize(self, os.close, status)  # nobody will ask for its process id: it may be given to another

    def poll(self) -> int | None:
        """Return how the worker has ended; None while it lives."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return how.

        Raises:
            subprocess.TimeoutExpired: it lives on.
        """
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return status

    def _ended(self, timeout_s: float | None) -> int | None:
        if self._status is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._said, selectors.EVENT_READ)
                if not selector.select(timeout_s):
                    return None
            self._status = int(os.read(self._said, _NUMBER_BYTES) or -signal.SIGKILL)  # nothing: the template has died
        return self._status


def start_fork_server() -> ForkServer | None:
    """Fork a template of this process, which has imported all that workers need; None: that cannot be done here."""
    if not tells_of_deaths() or len(list(Path("/proc/self/task").iterdir())) > 1:
        return None
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _MEANT_FOR_THE_COMMAND)
    try:
        pid = os.fork()
        if pid == 0:
            _live(lambda: serve(theirs))
    except OSError:  # no room for a process more; where there is none for a worker either, that will be said
        ours.close()
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _MEANT_FOR_THE_COMMAND)
        theirs.close()
    return ForkServer(pid, ours)


def serve(control: socket.socket, stack: "Stack | None" = None) -> None:
    """Be a template, which is asked over ``control``, until that ends. ``stack`` is what each worker begins with."""
    _Server(control, stack).serve()


def tells_of_deaths() -> bool:
    """Whether this system can tell of the death of a process that is not one's child."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:  # an old kernel, or one that was told to refuse it
        return False
    return True


def _live(life: Callable[[], object]) -> NoReturn:
    """Live in a process that was forked, and end it: what its stack returns to is another's."""
    try:
        life()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - nobody else would say so
        if why := exhaustion(error):
            os.write(2, f"s3mr: a process of it ends: {why}\n".encode())
        else:
            traceback.print_exc()
        os._exit(BROKEN_STATUS)


@dataclass(frozen=True, slots=True)
class _Server:
    """The template itself."""

    control: socket.socket
    stack: "Stack | None"
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def serve(self) -> None:
        """Fork and bury workers until the command ends."""
        os.setsid()
        for meant in _MEANT_FOR_THE_COMMAND:  # and may have been sent to its group just now
            signal.signal(meant, signal.SIG_IGN)
            signal.signal(meant, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _MEANT_FOR_THE_COMMAND)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it is not told how a child has ended
        show_as("s3mr-template")
        _forget_descriptors({2, self.control.fileno(), self.selector.fileno()})  # type: ignore[attr-defined]
        self.selector.register(self.control, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.data:
                    key.data()
                elif not self._asked():
                    _bury_the_dead()
                    return

    def _asked(self) -> bool:
        """Fork a worker, or answer that there is none; False: the command has ended."""
        head, descriptors, _, _ = socket.recv_fds(self.control, _NUMBER_BYTES, _DESCRIPTORS)
        if len(head) < _NUMBER_BYTES:
            return False
        body = self.control.recv(int.from_bytes(head), socket.MSG_WAITALL)
        try:
            stdin, stdout, stderr, end = descriptors
            pid = os.fork()
        except (OSError, ValueError):  # there are too many processes, or open files
            _close(*descriptors)
            return self._refused()
        if pid == 0:
            os.setsid()  # before anybody knows of it: it is killed with its group
            self.control.sendall(os.getpid().to_bytes(_NUMBER_BYTES))
            for own, given in enumerate((stdin, stdout, stderr)):
                os.dup2(given, own)
            _forget_descriptors({0, 1, 2})
            _live(lambda: _work(json.loads(body), self.stack))
        _close(stdin, stdout, stderr)
        death = os.pidfd_open(pid)
        self.selector.register(death, selectors.EVENT_READ, lambda: self._tell(pid, death, end))
        return True

    def _refused(self) -> bool:
        """Answer that no worker could be forked; False: the command has ended and reads no answer."""
        try:
            self.control.sendall(bytes(_NUMBER_BYTES))
        except ConnectionError:
            return False
        return True

    def _tell(self, pid: int, death: int, end: int) -> None:
        """Say how a worker has ended. Its process id stays taken for as long as the command may use it."""
        self.selector.unregister(death)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None  # noqa: S101 - it was waited for
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        _close(death)
        with contextlib.suppress(BrokenPipeError):  # nobody wants to know
            os.write(end, b"%d" % status)
        self.selector.register(end, selectors.EVENT_READ, lambda: self._bury(pid, end))  # an error: nobody reads on

    def _bury(self, pid: int, end: int) -> None:
        self.selector.unregister(end)
        os.waitpid(pid, 0)
        _close(end)


def _bury_the_dead() -> None:
    """Take over what ended workers have taken of the processor: whoever measures the command asks for it."""
    with contextlib.suppress(ChildProcessError):  # there is no child left
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _work(environment: dict[str, str], stack: "Stack | None") -> None:
    """Be a worker, as if one had been started."""
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # as the new environment says
    sys.argv = [worker_process.__file__]
    sys.modules["__main__"] = worker_process
    if not sys.flags.safe_path:
        del sys.path[0]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = sys.__stdin__ = _stream(0, "rb", sys.__stdin__)  # type: ignore[misc] # it is ours to make
    sys.stdout = sys.__stdout__ = _stream(1, "wb", sys.__stdout__)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "wb", sys.__stderr__)  # type: ignore[misc]
    worker_process.main(stack)


def _stream(descriptor: int, mode: Literal["rb", "wb"], like: TextIO | None) -> TextIOWrapper:
    """Return a standard stream; what user code prints is not lost when it dies."""
    raw = os.fdopen(descriptor, mode, buffering=0 if mode == "wb" else -1, closefd=False)
    encoding, errors = (like.encoding, like.errors) if like else (None, None)
    return TextIOWrapper(raw, encoding, errors, write_through=True)


def _forget_descriptors(kept: set[int]) -> None:
    """Close what was inherited, for the reader of a pipe waits for all its writers.

    Python's files still hold the numbers, and may close them at any time: so each comes to stand for nothing.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in [int(one.name) for one in Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError):  # it was that of the list itself
            os.fstat(descriptor)
            if descriptor not in kept:
                os.dup2(nothing, descriptor)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
