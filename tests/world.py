"""All of s3mr in one process, with real coordinator and workers on honest fakes.

Nothing runs by itself: a test ticks, executes invocations and delivers reports, in any order and as often as it wants.
A test can make any port fail or "kill" its caller at a given call.
"""

import io
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from s3mr.adapters.memory.memory_data import MemoryFolder, MemoryInputs, MemoryOutput
from s3mr.adapters.memory.memory_stores import MemoryJobStore, MemoryObjectStore
from s3mr.adapters.system import InTurn
from s3mr.api import Job
from s3mr.coordinator.launcher import Launcher
from s3mr.coordinator.recorder import Recorder, Verdict
from s3mr.coordinator.submission import Submitter
from s3mr.coordinator.ticker import Tick, Ticker
from s3mr.errors import TransientError
from s3mr.formats.registry import get_format
from s3mr.formats.task_reader import TaskReader
from s3mr.model import object_names
from s3mr.model.job import Failure, FailureKind, JobState
from s3mr.model.object_names import OpenedPart
from s3mr.model.plan_codec import decode_map_task
from s3mr.model.report import Report, TaskRequest
from s3mr.ports import PartWriter
from s3mr.worker.execution import execute
from s3mr.worker.task_context import TaskContext
from s3mr.worker.user_functions import Functions
from tests.submissions import submission


class Killed(BaseException):
    """Raised where a test kills a process."""


class Switch:
    """Counts the calls of all ports, and interrupts the one that a test selects."""

    def __init__(self) -> None:
        self.calls = 0
        self.at: int | None = None
        self.after = False  # whether the selected call takes effect before its caller dies

    def wrap(self, port: Any) -> Any:
        return _Switched(port, self)

    def call(self, action: Callable[[], Any]) -> Any:
        self.calls += 1
        chosen = self.at is not None and self.calls == self.at
        if chosen and not self.after:
            raise Killed
        answer = action()
        if isinstance(answer, Iterator):
            answer = list(answer)
        if chosen:
            raise Killed
        return answer


class _Switched:
    def __init__(self, port: Any, switch: Switch) -> None:
        self._port, self._switch = port, switch

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._switch.call(lambda: value(*args, **kwargs))


@dataclass
class ManualClock:
    """Time passes only when a test advances it."""

    time: float = 1_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self.time += seconds


@dataclass
class CountingEntropy:
    """Return consecutive numbers instead of random ones."""

    number: int = 0

    def hex(self, digits: int) -> str:
        self.number += 1
        return f"{self.number:0{digits}x}"


@dataclass
class World:
    """Submit and drive jobs: see the module."""

    job: Job
    inputs: dict[str, bytes]
    capacity: int = 1000
    accepts_max: int | None = None
    clock: ManualClock = field(default_factory=ManualClock)
    entropy: CountingEntropy = field(default_factory=CountingEntropy)
    switch: Switch = field(default_factory=Switch)
    sent: deque[TaskRequest] = field(default_factory=deque)
    folder: MemoryFolder = field(default_factory=MemoryFolder)
    real_store: MemoryJobStore = field(default_factory=MemoryJobStore)
    real_objects: MemoryObjectStore = field(default_factory=MemoryObjectStore)

    def __post_init__(self) -> None:
        self.reader = MemoryInputs(self.inputs)
        self.store = self.switch.wrap(self.real_store)
        self.objects = self.switch.wrap(self.real_objects)
        self.recorder = Recorder(self.real_store, self.clock)
        self.job_id = ""

    def invoke(self, request: TaskRequest) -> None:
        """Keep each invocation for the test to execute; refuse more than ``accepts_max`` (the `Invoker` port)."""
        if self.accepts_max is not None and len(self.sent) >= self.accepts_max:
            raise TransientError("429")
        self.sent.append(request)

    def submit(self, **changes: Any) -> JobState:
        """Submit the job. ``changes`` are what `submission` takes."""
        asked = {"inputs": sorted(self.inputs), "reduces": self.job.reduce is not None, **changes}
        if asked["reduces"]:
            asked.setdefault("reducers", 3)
        submitter = Submitter(
            inputs_of=lambda _: self.reader,
            objects=self.real_objects,
            store=self.real_store,
            output_of=lambda spec: MemoryOutput(self.folder, spec.job_id),
            clock=self.clock,
            entropy=self.entropy,
            scratch=io.BytesIO,
        )
        state = submitter.submit(submitter.plan(submission(**asked)))
        self.job_id = state.spec.job_id
        return state

    def ticker(self) -> Ticker:
        """Return a coordinator as a new process would create it, without any state."""
        return Ticker(
            store=self.store,
            objects=self.objects,
            output_of=lambda spec: self.switch.wrap(MemoryOutput(self.folder, spec.job_id)),
            launcher=Launcher(self.store, self.objects, self.switch.wrap(self), InTurn(), self.clock),
            parallel=InTurn(),
            clock=self.clock,
            entropy=self.entropy,
            scratch=io.BytesIO,
            capacity=self.capacity,
        )

    def tick(self) -> Tick:
        return self.ticker().tick(self.job_id)

    def execute(self, request: TaskRequest) -> Report:
        """Execute an attempt once."""
        context = TaskContext(
            store=self.real_objects,
            output=MemoryOutput(self.folder, request.spec.job_id),
            parallel=InTurn(),
            clock=self.clock,
            entropy=self.entropy,
            scratch=io.BytesIO,
            open_records=self._open_records,
        )
        functions = Functions(
            map=self.job.map, reduce=self.job.reduce, combine=self.job.combine, partition=self.job.partition
        )
        return execute(request, functions, context)

    def record(self, report: Report) -> Verdict:
        return self.recorder.record(report)

    def work(self) -> list[Verdict]:
        """Execute and record everything that was sent."""
        verdicts = []
        while self.sent:
            verdicts.append(self.record(self.execute(self.sent.popleft())))
        return verdicts

    def finish(self, ticks_max: int = 200) -> JobState:
        """Tick and work until the job has ended."""
        for _ in range(ticks_max):
            tick = self.tick()
            if tick.over:
                return tick.job
            if not self.work():
                self.clock.sleep(max(tick.wait_s, 0.01))
        raise AssertionError(f"the job is not over after {ticks_max} ticks: {self.state()}")

    def state(self) -> JobState:
        state = self.real_store.read_job(self.job_id)
        assert state is not None
        return state

    def output(self) -> str:
        """Return all lines of the output, part by part."""
        parts = {name: data for name, data in self.folder.objects.items() if name != object_names.SUCCESS}
        return b"".join(parts[name] for name in sorted(parts)).decode()

    def _open_records(self, request: TaskRequest) -> TaskReader:
        pointer = request.plan
        assert pointer is not None
        stop = pointer.offset_bytes + pointer.length_bytes
        plan = self.real_objects.stream(object_names.plan(request.spec.job_id), start=pointer.offset_bytes, stop=stop)
        return TaskReader(self.reader, decode_map_task(b"".join(plan), pointer), get_format("text"))


def open_noted(one: World, *, worker: str) -> PartWriter:
    """Open the first part of the job, as a worker that then falls silent."""
    name = object_names.part(0)

    def note(upload: str) -> None:
        one.real_objects.put(object_names.upload_note(one.job_id, OpenedPart(name, worker, upload)), b"")

    return MemoryOutput(one.folder, one.job_id).open_part(name, worker=worker, announce=note)


def died(request: TaskRequest, kind: FailureKind = FailureKind.CRASH) -> Report:
    """Return the report of a worker's death, as the runtime sends it."""
    failure = Failure(kind=kind, message="died", phase=request.phase, task=request.task, attempt=request.attempt)
    return Report(
        job_id=request.spec.job_id,
        phase=request.phase,
        task=request.task,
        attempt=request.attempt,
        token=request.token,
        worker=None,
        failure=failure,
    )
