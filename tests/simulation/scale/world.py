"""One large job in virtual time, without faults. Coordinator and table adapter are real, workers are simulated.

A worker is a duration, drawn from the seed, and the report of a task that found its input and lost nothing. While the
coordinator waits for a response or sleeps, due events run: one thread, one heap, every run the same.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Final, TypeVar, cast

from s3mr import limits
from s3mr.adapters.aws import dynamodb_items as items
from s3mr.adapters.aws.dynamodb import DynamoDBJobStore
from s3mr.adapters.memory.memory_data import MemoryFolder, MemoryOutput
from s3mr.adapters.system import SystemEntropy
from s3mr.batching import batched
from s3mr.coordinator import barrier
from s3mr.coordinator.launcher import Launcher
from s3mr.coordinator.recorder import Recorder
from s3mr.coordinator.submission import Submitter
from s3mr.coordinator.tick_round import perform
from s3mr.coordinator.ticker import Tick, Ticker
from s3mr.model.job import Failure, JobSpec, JobState, Phase
from s3mr.model.plan import InputObject
from s3mr.ports import Found, ObjectStore
from tests.simulation.loop import Loop
from tests.simulation.scale.meter import Meter, Sample, traced
from tests.simulation.scale.services import Objects, Table, TableClient
from tests.simulation.scale.workers import INPUT_BYTES, Shape, Workers
from tests.submissions import submission

T = TypeVar("T")
U = TypeVar("U")

PARALLEL_S: Final = 0.030  # virtual seconds of requests that are sent at the same time: invocations, completions
#: Events in an execution's history for each state that is entered and left (Step Functions developer guide).
TASK_EVENTS: Final = 5
OTHER_EVENTS: Final = 2
EXECUTION_EVENTS: Final = 2  # it started, it succeeded
TICKS_TRACED: Final = 10  # every n-th has its memory measured, without its time
SEGMENTS_TRACED: Final = 2  # of the shuffle index


@dataclass(slots=True)
class Measures:
    """The results of a run. Times are CPU seconds, except ``makespan_s``."""

    shape: Shape
    job: JobState
    meter: Meter
    samples: dict[str, Sample]
    verdicts: Counter[str]
    rounds: int = 0
    executions: int = 0
    running_max: int = 0
    backups: int = 0
    left_over: list[str] = field(default_factory=list)  # what should have been forgotten or deleted by the end

    @property
    def makespan_s(self) -> float:
        return (self.job.ended_at or 0.0) - self.job.created_at


class ScaleWorld:
    """Runs one large job: see the module."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.loop = Loop()
        self.meter = Meter()
        self.samples = {name: Sample() for name in ("submit", "tick", "barrier", "commit")}
        self.table = Table(self.meter, self.now)
        self.objects = Objects(self.meter, self.sleep)
        self.folder = MemoryFolder()
        self.store = self._store(self.sleep)
        recorder = Recorder(self._store(lambda _: None), self)
        self.workers = Workers(shape, self.loop, self.meter, recorder, self.objects, self.output)
        self.samples["record"] = self.workers.records
        self.rounds = self.executions = 0

    def now(self) -> float:
        return self.loop.now

    def sleep(self, seconds: float) -> None:
        """Run all due events (the `Clock` port)."""
        over: list[bool] = []
        self.loop.after(seconds, lambda: over.append(True))
        while not over:
            self.loop.step()

    def find(self, arguments: Sequence[str]) -> Found:
        """Find one object per map task (the `Inputs` port)."""
        (prefix,) = arguments
        names = (f"{prefix}part-{number:06d}.txt" for number in range(self.shape.map_tasks))
        return Found(tuple(InputObject(name, INPUT_BYTES, f"{'0' * 32}") for name in names), skipped=0)

    def map(self, function: Callable[[T], U], items: Iterable[T], *, width: int) -> Iterator[U]:
        """Call ``width`` at a time, in the time of one (the `Parallel` port)."""
        for batch in batched(items, width):
            yield from map(function, batch)
            with self.meter.charging("services"):
                self.sleep(PARALLEL_S)

    def output(self, spec: JobSpec) -> MemoryOutput:
        return MemoryOutput(self.folder, spec.job_id)

    def run(self) -> Measures:
        """Submit the job and drive it to its end, as the state machine does."""
        with self.meter.charging("submit"):
            job_id = self._submit()
        self.samples["submit"].count(self.meter.cpu_s["submit"], None)
        self._execute(self._ticker(), job_id)
        job = self.job(job_id)
        assert not self.workers.running
        self.samples["barrier"].peak_bytes = self._barrier_bytes(job)
        live = [f"{number} live attempts"] if (number := self.table.count(f"job#{job_id}", "live#")) else []
        return Measures(
            shape=self.shape,
            job=job,
            meter=self.meter,
            samples=self.samples,
            verdicts=self.workers.verdicts,
            rounds=self.rounds,
            executions=self.executions,
            running_max=self.workers.running_max,
            backups=job.attempts - self.shape.tasks - job.retried,
            left_over=[*live, *self.objects.sizes, *self.folder.uploads],
        )

    def job(self, job_id: str) -> JobState:
        """Return the job, without charging the read to anyone."""
        item = self.table.read(f"job#{job_id}", "job")
        assert item is not None
        return items.read_job(item)

    def _submit(self) -> str:
        submitter = Submitter(
            inputs_of=lambda _: cast("Any", self),
            objects=self.objects,
            store=self.store,
            output_of=self.output,
            clock=self,
            entropy=self.workers,
            scratch=_scratch,
        )
        asked = submission(
            inputs=["s3://scale/in/"],
            output="s3://scale/out",
            reducers=self.shape.reducers,
            split_size=INPUT_BYTES,
            memory_bytes=limits.MEMORY_BYTES,
            attempts=limits.ATTEMPTS,
            task_timeout_s=limits.TASK_TIMEOUT_S,
        )
        return submitter.submit(submitter.plan(asked)).spec.job_id

    def _execute(self, ticker: Ticker, job_id: str) -> None:
        """Run the template's loop: Begin, then Tick, Judge and Wait; a new execution before the history is full."""
        event: dict[str, Any] = {"job_id": job_id, "round": 0}
        events, self.executions = EXECUTION_EVENTS + OTHER_EVENTS, 1
        while True:
            began_at = self.now()
            answer = perform(ticker, event, self)
            self.rounds += 1
            self.meter.see("round of ticks, seconds", self.now() - began_at)
            self.meter.see("state of the state machine, bytes", len(json.dumps({**event, "answer": answer})))
            events += TASK_EVENTS + OTHER_EVENTS
            if answer["done"]:
                self.meter.see("history of an execution, events", events + 2 * OTHER_EVENTS)  # Outcome, Ended
                return
            if answer["round"] >= limits.ROUNDS_MAX:
                self.meter.see("history of an execution, events", events + TASK_EVENTS + OTHER_EVENTS)
                event = {"job_id": job_id, "round": 1}
                events, self.executions = EXECUTION_EVENTS + OTHER_EVENTS, self.executions + 1
            else:
                event = {**event, "round": answer["round"]}
                events += OTHER_EVENTS
                self.sleep(answer["wait_s"])

    def _ticker(self) -> Ticker:
        return MeasuredTicker(
            store=self.store,
            objects=self.objects,
            output_of=self.output,
            launcher=Launcher(self.store, self.objects, self.workers, self, self),
            parallel=self,
            clock=self,
            entropy=SystemEntropy(),
            scratch=_scratch,
            capacity=self.shape.concurrent,
            world=self,
        )

    def _store(self, pause: Callable[[float], object]) -> DynamoDBJobStore:
        return DynamoDBJobStore(cast("Any", TableClient(self.table, self.meter, pause)), "scale")

    def _barrier_bytes(self, job: JobState) -> int:
        """Repeat the first segments of the barrier to measure its memory: it is repeatable, and each takes as much."""

        def write() -> None:
            with suppress(_EnoughError):
                barrier.write_shuffle_index(job, self.store, cast("ObjectStore", _FewSegments()), scratch=_scratch)

        peak_bytes, _ = traced(write)
        return peak_bytes


@dataclass(frozen=True, kw_only=True)
class MeasuredTicker(Ticker):
    """A measured ticker. The tick that leaves the map phase is the barrier; from the one that leaves reduce, commit."""

    world: ScaleWorld

    def tick(self, job_id: str, *, stop: Failure | None = None) -> Tick:
        world = self.world
        before = world.job(job_id)
        live = world.table.count(f"job#{job_id}", "live#")
        number = sum(world.samples[name].calls for name in ("tick", "commit"))
        chosen = number % TICKS_TRACED == 0 if live else before.phase is not Phase.MAP
        began_s = world.meter.cpu_s["tick"]
        with world.meter.charging("tick"):
            step = partial(Ticker.tick, self, job_id, stop=stop)
            peak_bytes, tick = traced(step) if chosen else (None, step())
        sample = world.samples[_kind(before.phase, tick.job.phase)]
        sample.count(world.meter.cpu_s["tick"] - began_s, peak_bytes)
        return tick


class _EnoughError(Exception):
    """The requested number of segments was written."""


class _FewSegments:
    """A bucket that keeps nothing, and stops after the requested number of segments."""

    def __init__(self) -> None:
        self._segments = 0

    def put(self, _key: str, _body: object) -> None:
        self._segments += 1
        if self._segments > SEGMENTS_TRACED:
            raise _EnoughError


def _kind(before: Phase, after: Phase) -> str:
    if before is after and before.working:
        return "tick"
    return "barrier" if (before, after) == (Phase.MAP, Phase.REDUCE) else "commit"


def _scratch() -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile())
