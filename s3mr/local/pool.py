"""A pool of worker processes: the embedded cloud's Lambda. Each attempt ends in a report, also where its worker dies.

One thread a worker hands it requests and waits for its answer, its death, or the end of the task's time. A worker that
dies is replaced when there is more to do.
"""

import queue
import threading
from collections.abc import Callable, Mapping

from s3mr.errors import InvariantError, S3mrError, TransientError
from s3mr.model.report import Report, TaskRequest
from s3mr.processes.chaos import Chaos
from s3mr.processes.child import Child

RECORD_TRIES = 3


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
        self._requests: queue.SimpleQueue[tuple[TaskRequest, int] | None] = queue.SimpleQueue()
        self._record = record
        self._chaos = chaos
        self._reported = threading.Event()
        self._closing = threading.Event()
        self._broken: S3mrError | None = None
        self._children = [Child(environment, stderr, born, buried) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._serve, args=(child,), name="s3mr-worker", daemon=True)
            for child in self._children
        ]
        for thread in self._threads:
            thread.start()

    def invoke(self, request: TaskRequest) -> None:
        self._requests.put((request, 1))
        if self._chaos.fate(request, 1) == "dup":
            self._requests.put((request, 2))

    @property
    def running(self) -> int:
        """How many attempts run now."""
        return sum(child.busy for child in self._children)

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
        for child in self._children:
            self._requests.put(None)
            child.close()
        for thread in self._threads:
            thread.join()
        for child in self._children:  # no thread reads of their pipes any more
            child.bury()

    def _serve(self, child: Child) -> None:
        child.prepare()
        while (asked := self._requests.get()) is not None:
            request, execution = asked
            report = child.run(request, execution=execution, timeout_s=self._chaos.timeout_s(request, execution))
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
