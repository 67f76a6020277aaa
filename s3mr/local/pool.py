"""A pool of worker processes: the embedded cloud's Lambda. Each attempt ends in a report, also where its worker dies.

One thread a worker hands it requests and waits for its answer, its death, or the end of the task's time. A worker that
dies is replaced when there is more to do.
"""

import contextlib
import os
import queue
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO

from pydantic import ValidationError

from s3mr.errors import InvariantError, S3mrError, TransientError
from s3mr.local import processes
from s3mr.local.chaos import Chaos
from s3mr.local.lifeline import kill_group
from s3mr.model.job import Failure, FailureKind
from s3mr.model.report import Report, TaskRequest

DEATH_CHECK_S = 0.5  # a dead worker's pipe stays open while a child of its own holds it: then this finds the death
START_S = 60.0  # to import what a worker needs; counts towards no task's time
RECORD_TRIES = 3
LINE_BYTES_MAX = 16 * 1024 * 1024


class WorkerPool:
    """Runs attempts on ``count`` worker processes. An `Invoker`."""

    def __init__(
        self,
        count: int,
        *,
        chaos: Chaos,
        environment: Mapping[str, str],
        stderr: int | None,
        record: Callable[[Report], object],
        born: Callable[[int], None],
        buried: Callable[[int], None],
    ) -> None:
        """``born`` and ``buried`` are told each process id; ``stderr`` takes what workers print, or ours does."""
        self._requests: queue.SimpleQueue[TaskRequest | None] = queue.SimpleQueue()
        self._record = record
        self._chaos = chaos
        self._reported = threading.Event()
        self._closing = threading.Event()
        self._broken: S3mrError | None = None
        self._slots = [_Slot(environment, stderr, born, buried, self._closing) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._serve, args=(slot,), name="s3mr-worker", daemon=True) for slot in self._slots
        ]
        for thread in self._threads:
            thread.start()

    def invoke(self, request: TaskRequest) -> None:
        for _ in range(2 if self._chaos.fate(request) == "dup" else 1):
            self._requests.put(request)

    @property
    def running(self) -> int:
        """How many attempts run now."""
        return sum(slot.busy for slot in self._slots)

    def wait_for_report(self, timeout_s: float) -> None:
        """Return when something has been recorded since the last call, or after ``timeout_s``.

        Raises:
            InvariantError: a report could not be recorded, however often it was tried.
        """
        self._reported.wait(timeout_s)
        self._reported.clear()
        if self._broken:
            raise InvariantError(f"a report could not be recorded: {self._broken}") from self._broken

    def close(self) -> None:
        """Kill every worker. No report comes after this."""
        self._closing.set()
        for slot in self._slots:
            self._requests.put(None)
            slot.kill()
        for thread in self._threads:
            thread.join()
        for slot in self._slots:  # no thread reads of their pipes any more
            slot.bury()

    def _serve(self, slot: "_Slot") -> None:
        slot.prepare()
        while (request := self._requests.get()) is not None:
            report = slot.run(request)
            if self._closing.is_set():
                return
            try:
                self._record_stubbornly(report)
            except S3mrError as error:
                self._broken = error
            self._reported.set()

    def _record_stubbornly(self, report: Report) -> None:
        """Record ``report``, as Lambda does for a destination: a busy service is tried again."""
        for _ in range(RECORD_TRIES - 1):
            try:
                self._record(report)
            except TransientError:
                continue
            return
        self._record(report)


@dataclass(eq=False)
class _Slot:
    """One worker process after another, one attempt at a time."""

    environment: Mapping[str, str]
    stderr: int | None
    born: Callable[[int], None]
    buried: Callable[[int], None]
    closing: threading.Event
    busy: bool = False
    _ready: bool = False
    _worker: subprocess.Popen[bytes] | None = None
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self) -> None:
        """Start a worker if there is none."""
        with self._changing:
            if self._worker is None and not self.closing.is_set():
                self._worker = processes.start("s3mr.local.worker_process", self.environment, stderr=self.stderr)
                self._ready = False
                self.born(self._worker.pid)

    def run(self, request: TaskRequest) -> Report:
        """Run one attempt to its report, of the worker or of its death."""
        self.prepare()
        worker = self._worker
        if worker is None:
            return _died(request, "the pool was closed")
        self.busy = True
        try:
            return self._converse(worker, request)
        finally:
            self.busy = False

    def _converse(self, worker: subprocess.Popen[bytes], request: TaskRequest) -> Report:
        timeout_s = request.spec.task_timeout_s
        try:
            if not self._ready:
                self._ready = bool(_answer(worker, START_S))
            stdin = _pipe(worker.stdin)
            stdin.write(request.model_dump_json().encode() + b"\n")
            stdin.flush()
            line = _answer(worker, timeout_s)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            self.bury()
            if not self._ready:
                return _died(request, f"the worker did not start within {START_S:g} s")
            return _died(request, f"ran longer than {timeout_s:g} s: raise --task-timeout, or lower --split-size")
        if not line.endswith(b"\n"):
            return _died(request, _how(self.bury(grace_s=DEATH_CHECK_S)))
        try:
            return Report.model_validate_json(line)
        except ValidationError:
            self.bury()
            return _died(request, "the worker answered with what is no report")

    def kill(self) -> None:
        """Kill the worker; who talks with it sees its end, and buries it."""
        with self._changing:
            if self._worker is not None:
                kill_group(self._worker.pid)

    def bury(self, grace_s: float = 0.0) -> int:
        """Kill the worker with all it started, and return how it had ended; it may still be ending for ``grace_s``."""
        with self._changing:
            worker, self._worker = self._worker, None
        if worker is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):  # it lives: the kill ends it
            worker.wait(grace_s)
        kill_group(worker.pid)
        status = worker.wait()
        self.buried(worker.pid)
        _pipe(worker.stdout).close()
        with contextlib.suppress(BrokenPipeError):  # a request that nobody will read
            _pipe(worker.stdin).close()
        return status


def _answer(worker: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    """Return the worker's next line, without its newline if the worker died before it was complete.

    Raises:
        TimeoutError: the time has passed.
    """
    deadline = time.monotonic() + timeout_s
    pipe, read = _pipe(worker.stdout), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left_s := deadline - time.monotonic()) > 0:
            if selector.select(min(left_s, DEATH_CHECK_S)):
                block = os.read(pipe.fileno(), 65536)
                read += block
                if not block or block.endswith(b"\n") or len(read) > LINE_BYTES_MAX:
                    return bytes(read)
            elif worker.poll() is not None:
                return bytes(read)
    raise TimeoutError


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - the worker was started with pipes
    return pipe


def _how(status: int) -> str:
    """Say how a process ended."""
    if status == -signal.SIGKILL:
        return "the worker was killed (signal 9): by the system if memory ran out, or by somebody"
    if status < 0:
        return f"the worker died of signal {-status} ({signal.strsignal(-status)})"
    return f"the worker exited with status {status}"


def _died(request: TaskRequest, message: str) -> Report:
    where = {"phase": request.phase, "task": request.task, "attempt": request.attempt}
    return Report(
        job_id=request.spec.job_id,
        token=request.token,
        worker=None,
        failure=Failure(kind=FailureKind.CRASH, message=message, **where),
        **where,
    )
