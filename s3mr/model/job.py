"""Define a job: what was requested (`JobSpec`), its current state (`JobState`), and its live attempts."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from s3mr import limits
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.statistics import Counters
from s3mr.options import JobRequest

SCHEMA_VERSION: Final = 3  # of requests, reports and items; a command works only with a stack of the same version

SchemaVersion = Literal[3]
JobId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
WorkerId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Layout = Literal["split", "packed"]


class Phase(StrEnum):
    """The phase of a job. Phases only go forward; the last three are final."""

    MAP = "map"
    REDUCE = "reduce"
    COMMITTING = "committing"  # past the point of no return
    STOPPING = "stopping"  # it will fail or be cancelled; its tasks are being sealed
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)

    @property
    def working(self) -> bool:
        """Whether tasks may be launched."""
        return self in (Phase.MAP, Phase.REDUCE)


TaskPhase = Literal[Phase.MAP, Phase.REDUCE]


class FailureKind(StrEnum):
    """Why an attempt failed. Each kind has its own reaction of the coordinator."""

    USER = "user"  # the user's function raised: retry once, then fail the job
    REQUEST = "request"  # it can never work: fail the job
    TRANSIENT = "transient"  # a service failed: retry, on a separate budget
    NO_ROOM = "no-room"  # Lambda had no free capacity: retry for hours
    CRASH = "crash"  # the worker died, timed out or did not report: retry within the attempts
    INVARIANT = "invariant"  # a bug, or a write by another program: stop the job and keep the evidence


class Failure(FrozenModel):
    """What went wrong, for people to read."""

    kind: FailureKind
    message: str = Field(max_length=limits.FAILURE_TEXT_MAX)
    traceback: str | None = Field(default=None, max_length=limits.FAILURE_TEXT_MAX)
    source: str | None = Field(default=None, max_length=limits.FAILURE_TEXT_MAX)
    record: str | None = Field(default=None, max_length=limits.FAILURE_TEXT_MAX)
    phase: TaskPhase | None = None
    task: int | None = Field(default=None, ge=0, lt=limits.MAP_TASKS_MAX)
    attempt: int | None = Field(default=None, ge=0, le=limits.ATTEMPT_NUMBER_MAX)

    def story(self) -> str:
        """Return everything as text: the task, the message, the input, and the user's traceback."""
        where = f"{self.phase} task {self.task}, attempt {self.attempt}: " if self.phase else ""
        lines = [f"{where}{self.message}"]
        lines += [f"  source: {self.source}"] if self.source else []
        lines += [f"  record: {self.record}" if self.source else f"  key: {self.record}"] if self.record else []
        lines += [self.traceback.rstrip()] if self.traceback else []
        return "\n".join(lines)


class BundleRef(FrozenModel):
    """The user's code: a content-addressed zip, and the place of the `Job` in it."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    module: str  # dotted name, importable from the root of the zip, or a path ending in .py
    name: str  # of the Job in that module


class WorkerFunctions(FrozenModel):
    """The published Lambda versions that execute a job's tasks, as ARNs. A deploy does not affect a running job."""

    map: str
    reduce: str


class JobSpec(FrozenModel):
    """What was requested (``request``), and what was decided at submit. It never changes and has no secrets."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    job_id: JobId
    request: JobRequest
    bundle: BundleRef
    map_tasks: int = Field(ge=0, le=limits.MAP_TASKS_MAX)
    reducers: int = Field(ge=0, le=limits.REDUCERS_MAX)  # 0: a job without reduce
    layout: Layout
    input_format: str
    input_objects: int = Field(ge=0)
    input_bytes: int = Field(ge=0)
    skipped_objects: int = Field(default=0, ge=0)
    plan_index_offset_bytes: int = Field(ge=0)  # in the plan object: from here, one `Pointer` per map task
    memory_bytes: int = Field(ge=limits.MEMORY_BYTES_MIN)
    task_timeout_s: float = Field(gt=0)
    deadline_s: float = Field(default=limits.DEADLINE_S, gt=0, le=limits.DEADLINE_S_MAX)
    output: str  # a folder or s3:// URI
    keep_intermediate: bool = False
    workers: int | None = Field(default=None, ge=1)  # maximum of attempts at once; None: as many as the place can run
    functions: WorkerFunctions | None = None  # on AWS
    resumed_from: JobId | None = None
    printed: bool = False  # the output is a temporary folder; the command that ends the job prints and removes it

    def tasks(self, phase: Phase) -> int:
        """Return the number of tasks of the phase."""
        return self.map_tasks if phase is Phase.MAP else self.reducers

    @property
    def last_phase(self) -> TaskPhase:
        """The phase whose tasks write the parts."""
        return Phase.REDUCE if self.reducers else Phase.MAP

    @property
    def slices(self) -> int:
        """The number of table partitions over which the manifests are spread."""
        by_tasks = max(self.map_tasks, self.reducers) // limits.SLICE_TASKS
        by_bytes = self.map_tasks * self.reducers * limits.PIECE_COLUMN_BYTES // limits.SLICE_BYTES
        return min(limits.SLICES_MAX, 1 + max(by_tasks, by_bytes))


class AttemptId(FrozenModel):
    """One try of one task."""

    task: int = Field(ge=0)
    attempt: int = Field(ge=1)
    backup: bool = False


class LaunchBatch(FrozenModel):
    """A batch of attempts to launch. It is logged before the first one is launched, and repeated if a tick dies."""

    phase: TaskPhase
    at: float
    attempts: tuple[AttemptId, ...] = Field(max_length=limits.LAUNCH_BATCH)


class LiveAttempt(FrozenModel):
    """An attempt that was launched and has not won. ``failure`` is set when it has failed."""

    phase: TaskPhase
    task: int
    attempt: int
    backup: bool
    launched_at: float
    lease_until: float
    failure: Failure | None = None
    failed_at: float | None = None


class JobState(FrozenModel):
    """The state of a job. Only the tick that holds ``epoch`` may replace it."""

    spec: JobSpec
    secret: str  # hex; only the coordinator reads it
    created_at: float
    phase: Phase = Phase.MAP
    epoch: int = 0
    writer: str = ""  # random id of the tick that wrote it last, so that no two ticks write the same bytes
    cursor: int = 0  # tasks of this phase launched at least once; when committing: parts completed
    launching: LaunchBatch | None = None
    phase_started_at: float = 0.0
    progressed_at: float = 0.0  # when `done` last grew
    done: int = 0
    median_s: float | None = None  # duration of this phase's winners, once half are done
    attempts: int = 0  # launched, in all phases
    retried: int = 0  # of these, launched because an earlier one failed
    ignored: int = 0  # completions after an earlier one had won; set at the end
    map_counters: Counters = Counters()
    counters: Counters = Counters()  # of the winners of all finished phases
    failure: Failure | None = None
    cancelled: bool = False
    last_lease_until: float = 0.0
    ended_at: float | None = None
    released: bool = False  # its claim, uploads and intermediates are released

    def done_in(self, phase: Phase) -> int:
        """Return how many tasks of ``phase`` have a winner, according to this state."""
        tasks = self.spec.tasks(phase)
        if self.phase in (Phase.COMMITTING, Phase.SUCCEEDED):
            return tasks
        mapped = not self.spec.map_tasks or self.map_counters != Counters()  # true even if it stopped later
        under_way = Phase.REDUCE if mapped else Phase.MAP
        if phase is under_way:
            return self.done
        return tasks if phase is Phase.MAP else 0

    @property
    def in_flight(self) -> int:
        """The number of tasks of this phase that were launched and have no winner yet, according to this state."""
        return max(0, self.cursor - self.done) if self.phase.working else 0
