"""The parent's hold on a worker process: start it, give it an attempt, hear its report or its death."""

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO

from pydantic import ValidationError

from s3mr.model.job import Failure, FailureKind
from s3mr.model.report import Report, TaskRequest
from s3mr.processes.lifeline import kill_group
from s3mr.processes.process_start import Worker, start_worker

DEATH_CHECK_S = 0.5  # a dead worker's pipe stays open while a child of its own holds it: then this finds the death
START_S = 60.0  # to import what a worker needs; counts towards no task's time
LINE_BYTES_MAX = 16 * 1024 * 1024


@dataclass(eq=False)
class Child:
    """One worker process after another, one attempt at a time; one that has died is replaced when there is more to do.

    ``born`` and ``buried`` are told each process id; ``stderr`` takes what the worker prints, or ours does; ``start``
    is given the environment and that.
    """

    environment: Mapping[str, str]
    stderr: int | None = None
    born: Callable[[int], object] = int
    buried: Callable[[int], object] = int
    start: Callable[[Mapping[str, str], int | None], Worker] = start_worker
    busy: bool = False
    _closed: bool = False
    _ready: bool = False
    _worker: Worker | None = None
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self) -> None:
        """Start a worker if there is none that lives."""
        if self._worker is not None and self._worker.poll() is not None:
            self.bury()  # it has died since its last report
        with self._changing:
            if self._worker is None and not self._closed:
                self._worker = self.start(self.environment, self.stderr)
                self._ready = False
                self.born(self._worker.pid)

    def run(self, request: TaskRequest, *, execution: int = 1, timeout_s: float | None = None) -> Report:
        """Run one attempt to its report, of the worker or of its death.

        Args:
            request: what to do.
            execution: 2 where the attempt was doubled on purpose, and this is its second run.
            timeout_s: how long it may take; None: as long as its job says.
        """
        self.prepare()
        worker = self._worker
        if worker is None:
            return _died(request, "it was not started: the command ends")
        self.busy = True
        try:
            line = b'{"execution":%d,"request":%b}\n' % (execution, request.model_dump_json().encode())
            return self._converse(
                worker, request, line, request.spec.task_timeout_s if timeout_s is None else timeout_s
            )
        finally:
            self.busy = False

    def _converse(self, worker: Worker, request: TaskRequest, asked: bytes, timeout_s: float) -> Report:
        try:
            if not self._ready:
                self._ready = bool(_answer(worker, START_S))
            stdin = _pipe(worker.stdin)
            stdin.write(asked)
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
            report = Report.model_validate_json(line)
        except ValidationError:
            self.bury()
            return _died(request, "the worker answered with what is no report")
        if not report.answers(request):
            self.bury()
            return _died(request, "the worker answered with another attempt's report")
        return report

    def close(self) -> None:
        """Kill the worker, and start no other; who talks with it sees its end, and buries it."""
        with self._changing:
            self._closed = True
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


def _answer(worker: Worker, timeout_s: float) -> bytes:
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
