"""Run attempts on worker processes, in place of Lambda. Every attempt ends in a report, even if its worker dies.

Each worker has a thread, which sends it requests and waits for its answer, its death, or the task's timeout. A worker
that dies is replaced when there is more to do.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping

from s3mr.adapters.exhaustion import exhaustion
from s3mr.errors import InvariantError, S3mrError, TransientError
from s3mr.local.prefetch import Prefetch
from s3mr.model.report import Report, TaskRequest
from s3mr.processes.chaos import Chaos
from s3mr.processes.child import Child
from s3mr.processes.process_start import Worker, start_worker

RECORD_TRIES = 3
HESITATION_S = 0.2  # attempts wait this long before another worker is started: about as long as a start takes
NEWS_S = 0.5  # a report may wait this long for more reports


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
        on_start: Callable[[int], None],
        on_end: Callable[[int], None],
        start: Callable[[Mapping[str, str], int | None], Worker] = start_worker,
    ) -> None:
        """Start one worker. The others start on `expect`, or when there is enough to do.

        ``on_start`` and ``on_end`` get the id of each process that starts and ends. Workers print to ``stderr``, or to
        this process's own. ``start`` is as in `Child`.
        """
        self._requests: queue.SimpleQueue[tuple[TaskRequest, int] | None] = queue.SimpleQueue()
        self._record = record
        self._chaos = chaos
        self.pace = Prefetch(count)
        self._changed = threading.Condition()
        self._begun, self._expected = 1, 1  # workers
        self._left = 0  # attempts that have been invoked and have not reported
        self._reported = self._failed = False  # since the last `wait`
        self._closing = threading.Event()
        self._broken: S3mrError | None = None
        self._children = [Child(environment, stderr, on_start, on_end, start=start) for _ in range(count)]
        self._threads = [
            threading.Thread(
                target=self._serve, args=(child, child is self._children[0]), name="s3mr-worker", daemon=True
            )
            for child in self._children
        ]
        for thread in self._threads:
            thread.start()

    def expect(self, attempts: int) -> None:
        """Start a worker for each of ``attempts``, up to the size of the pool, before they are invoked."""
        with self._changed:
            self._expected = attempts
            self._changed.notify_all()

    def invoke(self, request: TaskRequest) -> None:
        executions = 2 if self._chaos.fault(request, 1) == "dup" else 1
        with self._changed:
            self._left += executions
            self._changed.notify_all()
        for execution in range(1, executions + 1):
            self._requests.put((request, execution))

    @property
    def running(self) -> int:
        """The number of attempts that run now."""
        return sum(child.busy for child in self._children)

    @property
    def left(self) -> int:
        """The number of attempts that run or wait to run."""
        with self._changed:
            return self._left

    def wait(self, timeout_s: float, *, enough: int) -> None:
        """Return when a report has been recorded since the last call, or after ``timeout_s``.

        Return at once if a report is a failure, or if at most ``enough`` attempts are left; else wait up to `NEWS_S`
        for more reports.

        Raises:
            InvariantError: a report could not be recorded, even after retries.
            S3mrError: the system has no room for a worker.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            if self._changed.wait_for(lambda: self._reported, timeout_s):
                news_s = min(NEWS_S, until - time.monotonic())
                self._changed.wait_for(lambda: self._failed or self._left <= enough, news_s)
            self._reported = self._failed = False
        if self._broken:
            raise self._broken

    def close(self) -> None:
        """Kill every worker. No report comes after this."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        for child in self._children:
            self._requests.put(None)
            child.close()
        for thread in self._threads:
            thread.join()
        for child in self._children:  # no thread reads from their pipes any more
            child.end()

    def _needed(self) -> bool:
        """Wait until there is enough to do for another worker. Return False if the pool closes first."""
        with self._changed:
            while not self._closing.is_set():
                self._changed.wait_for(lambda: self._lacking or self._closing.is_set())
                soon = self._begun < self._expected
                if soon or not self._changed.wait_for(
                    lambda: not self._lacking or self._closing.is_set(), HESITATION_S
                ):
                    self._begun += 1
                    return not self._closing.is_set()
        return False

    @property
    def _lacking(self) -> bool:
        return self._begun < max(self._expected, self._left)

    def _serve(self, child: Child, first: bool) -> None:  # noqa: FBT001 - of a thread
        try:
            self._serve_until_closed(child, first=first)
        except Exception as error:  # noqa: BLE001 - in a thread: else the error is lost, and `wait` blocks
            known = error if isinstance(error, S3mrError) else InvariantError(f"cannot serve a worker: {error!r}")
            self._broken = S3mrError(f"cannot start a worker: {why}") if (why := exhaustion(error)) else known
            with self._changed:
                self._reported = self._failed = True
                self._changed.notify_all()

    def _serve_until_closed(self, child: Child, *, first: bool) -> None:
        if not first and not self._needed():
            return
        child.prepare()
        while (queued := self._requests.get()) is not None:
            request, execution = queued
            report = child.run(request, execution=execution, timeout_s=self._chaos.timeout_s(request, execution))
            if self._closing.is_set():
                return
            if report.manifest is not None:
                self.pace.note(report.manifest.duration_s)
            try:
                self._record_with_retries(report)
            except S3mrError as error:
                self._broken = InvariantError(f"cannot record a report: {error}")
            with self._changed:
                self._left -= 1
                self._reported = True
                self._failed |= report.failure is not None or self._broken is not None
                self._changed.notify_all()

    def _record_with_retries(self, report: Report) -> None:
        """Record ``report``. Retry if a service is busy, as Lambda does for a destination."""
        for _ in range(RECORD_TRIES - 1):
            try:
                self._record(report)
            except TransientError:
                continue
            return
        self._record(report)
