"""The parent's handle on a worker process: start it, send it an attempt, and get its report or notice its death."""

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

DEATH_CHECK_S = 0.5  # needed because a dead worker's pipe stays open while its own child holds it
START_S = 60.0  # for a worker's imports; does not count as a task's time
LINE_BYTES_MAX = 16 * 1024 * 1024


@dataclass(eq=False)
class Child:
    """Runs attempts in a worker process, one at a time. A worker that has died is replaced for the next attempt.

    ``on_start`` and ``on_end`` are called with each process id. ``stderr`` is the descriptor for what the worker
    prints; None means this process' own. ``start`` is called with the environment and ``stderr``.
    """

    environment: Mapping[str, str]
    stderr: int | None = None
    on_start: Callable[[int], object] = int
    on_end: Callable[[int], object] = int
    start: Callable[[Mapping[str, str], int | None], Worker] = start_worker
    busy: bool = False
    _closed: bool = False
    _ready: bool = False
    _worker: Worker | None = None
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self) -> None:
        """Start a worker if none is running."""
        if self._worker is not None and self._worker.poll() is not None:
            self.end()  # it has died since its last report
        with self._changing:
            if self._worker is None and not self._closed:
                self._worker = self.start(self.environment, self.stderr)
                self._ready = False
                self.on_start(self._worker.pid)

    def run(self, request: TaskRequest, *, execution: int = 1, timeout_s: float | None = None) -> Report:
        """Run one attempt, and return the worker's report, or a report of its death.

        Args:
            request: the attempt.
            execution: 2 for the second execution of an attempt that was duplicated on purpose.
            timeout_s: how long it may take; None for the job's own timeout.
        """
        self.prepare()
        worker = self._worker
        if worker is None:
            return _died(request, "the attempt was not started, because the command ends")
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
            self.end()
            if not self._ready:
                return _died(request, f"the worker did not start within {START_S:g} s")
            return _died(request, f"ran longer than {timeout_s:g} s: raise --task-timeout, or lower --split-size")
        if not line.endswith(b"\n"):
            return _died(request, _describe_exit(self.end(grace_s=DEATH_CHECK_S)))
        try:
            report = Report.model_validate_json(line)
        except ValidationError:
            self.end()
            return _died(request, "the worker's answer is not a report")
        if not report.answers(request):
            self.end()
            return _died(request, "the worker answered with the report of another attempt")
        return report

    def close(self) -> None:
        """Kill the worker, and start no other. A running `run` notices its death and reaps it."""
        with self._changing:
            self._closed = True
            if self._worker is not None:
                kill_group(self._worker.pid)

    def end(self, grace_s: float = 0.0) -> int:
        """Kill and reap the worker and its process group, and return its exit status.

        Waits up to ``grace_s`` for it to end by itself first, so that the status tells why it ended.
        """
        with self._changing:
            worker, self._worker = self._worker, None
        if worker is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):  # still running: killed below
            worker.wait(grace_s)
        kill_group(worker.pid)
        status = worker.wait()
        self.on_end(worker.pid)
        _pipe(worker.stdout).close()
        with contextlib.suppress(BrokenPipeError):  # the worker did not read its request
            _pipe(worker.stdin).close()
        return status


def _answer(worker: Worker, timeout_s: float) -> bytes:
    """Return the worker's next line. It has no newline if the worker died before the line was complete.

    Raises:
        TimeoutError: there was no line within ``timeout_s``.
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


def _describe_exit(status: int) -> str:
    """Describe how a process ended."""
    if status == -signal.SIGKILL:
        return "the worker was killed (signal 9): by the system because memory ran out, or by a person"
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
