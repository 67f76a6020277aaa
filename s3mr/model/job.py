"""A job: what was asked (`JobSpec`), where it stands (`JobState`), and the attempts that are under way."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from s3mr import limits
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.statistics import Counters
from s3mr.options import JobRequest

SCHEMA_VERSION: Final = 3  # of requests, reports and items; a stack and a command of different ones do not mix

SchemaVersion = Literal[3]
JobId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
WorkerId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Layout = Literal["split", "packed"]


class Phase(StrEnum):
    """Where a job stands. Phases only go forward; the last three are final."""

    MAP = "map"
    REDUCE = "reduce"
    COMMITTING = "committing"  # the point of no return is behind
    STOPPING = "stopping"  # it will fail or be cancelled: what it holds is being released
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
    """Why an attempt failed, named by what the coordinator does about it."""

    USER = "user"  # the user's function: once more, then the job fails
    REQUEST = "request"  # can never work: the job fails
    TRANSIENT = "transient"  # a service: again, on a budget of its own
    NO_ROOM = "no-room"  # Lambda had no room for it: again, for hours
    CRASH = "crash"  # the worker died, ran out of time or fell silent: again, within the attempts
    INVARIANT = "invariant"  # a bug or a foreign write: the job stops and keeps its evidence


class Failure(FrozenModel):
    """What went wrong, for a person to read."""

    kind: FailureKind
    message: str = Field(max_length=limits.FAILURE_TEXT_MAX)
    traceback: str | None = Field(default=None, max_length=limits.FAILURE_TEXT_MAX)
    source: str | None = Field(default=None, max_length=limits.FAILURE_TEXT_MAX)
    record: str | None = Field(default=None, max_length=limits.FAILURE_TEXT_MAX)
    phase: TaskPhase | None = None
    task: int | None = Field(default=None, ge=0, lt=limits.MAP_TASKS_MAX)
    attempt: int | None = Field(default=None, ge=0, le=limits.ATTEMPT_NUMBER_MAX)

    def story(self) -> str:
        """Return all of it as text: where, what, with what input, and the user's traceback."""
        where = f"{self.phase} task {self.task}, attempt {self.attempt}: " if self.phase else ""
        lines = [f"{where}{self.message}"]
        lines += [f"  source: {self.source}"] if self.source else []
        lines += [f"  record: {self.record}" if self.source else f"  key: {self.record}"] if self.record else []
        lines += [self.traceback.rstrip()] if self.traceback else []
        return "\n".join(lines)


class BundleRef(FrozenModel):
    """The user's code: a content-addressed zip, and where in it the `Job` is."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    module: str  # dotted name, importable from the root of the zip, or a path ending in .py
    name: str  # of the Job in that module


class WorkerFunctions(FrozenModel):
    """The published Lambda versions that execute a job's tasks, as ARNs; a deploy changes nothing under it."""

    map: str
    reduce: str


class JobSpec(FrozenModel):
    """What was asked (``request``), and what was decided at submit. It never changes and holds no secret."""

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
    plan_index_offset_bytes: int = Field(ge=0)  # in the plan object: one `Pointer` a map task from here
    memory_bytes: int = Field(ge=limits.MEMORY_BYTES_MIN)
    task_timeout_s: float = Field(gt=0)
    deadline_s: float = Field(default=limits.DEADLINE_S, gt=0, le=limits.DEADLINE_S_MAX)
    output: str  # a folder or s3:// URI
    keep_intermediate: bool = False
    workers: int | None = Field(default=None, ge=1)  # attempts at once, at most; None: as many as the stack has
    functions: WorkerFunctions | None = None  # on AWS
    resumed_from: JobId | None = None
    printed: bool = False  # the output is a temporary folder: who ends the job here prints it, and removes it

    def tasks(self, phase: Phase) -> int:
        """How many tasks the phase has."""
        return self.map_tasks if phase is Phase.MAP else self.reducers

    @property
    def last_phase(self) -> TaskPhase:
        """The phase whose tasks write the parts."""
        return Phase.REDUCE if self.reducers else Phase.MAP

    @property
    def slices(self) -> int:
        """Over how many table partitions the manifests are spread."""
        by_tasks = max(self.map_tasks, self.reducers) // limits.SLICE_TASKS
        by_bytes = self.map_tasks * self.reducers * limits.PIECE_COLUMN_BYTES // limits.SLICE_BYTES
        return min(limits.SLICES_MAX, 1 + max(by_tasks, by_bytes))


class AttemptId(FrozenModel):
    """One try of one task."""

    task: int = Field(ge=0)
    attempt: int = Field(ge=1)
    backup: bool = False


class Launch(FrozenModel):
    """A batch of attempts that is being launched; logged before any of it is done, repeated if in doubt."""

    phase: TaskPhase
    at: float
    attempts: tuple[AttemptId, ...] = Field(max_length=limits.LAUNCH_BATCH)


class LiveAttempt(FrozenModel):
    """An attempt that was begun and has not won; ``failure`` once it is known to have failed."""

    phase: TaskPhase
    task: int
    attempt: int
    backup: bool
    launched_at: float
    lease_until: float
    failure: Failure | None = None
    failed_at: float | None = None


class JobState(FrozenModel):
    """Where a job stands. Only the tick that holds ``epoch`` may replace it."""

    spec: JobSpec
    secret: str  # hex; only the coordinator reads it
    created_at: float
    phase: Phase = Phase.MAP
    epoch: int = 0
    writer: str = ""  # who has written it last: drawn anew by each tick, so that two that write the same are told apart
    cursor: int = 0  # tasks of this phase launched at least once; when committing: parts completed
    launching: Launch | None = None
    phase_started_at: float = 0.0
    progressed_at: float = 0.0  # when `done` last grew
    done: int = 0
    median_s: float | None = None  # duration of this phase's winners, once half are done
    attempts: int = 0  # begun, in all phases
    retried: int = 0  # of these, begun because an earlier one failed
    ignored: int = 0  # completions that lost against an earlier one, known at the end
    map_counters: Counters = Counters()
    counters: Counters = Counters()  # of the winners of all finished phases
    failure: Failure | None = None
    cancelled: bool = False
    last_lease_until: float = 0.0
    ended_at: float | None = None
    released: bool = False  # nothing is held any more: claim, uploads, intermediates

    def done_in(self, phase: Phase) -> int:
        """Return how many tasks of ``phase`` have a winner, as far as the job itself says."""
        tasks = self.spec.tasks(phase)
        if self.phase in (Phase.COMMITTING, Phase.SUCCEEDED):
            return tasks
        mapped = not self.spec.map_tasks or self.map_counters != Counters()  # also if it has stopped since
        under_way = Phase.REDUCE if mapped else Phase.MAP
        if phase is under_way:
            return self.done
        return tasks if phase is Phase.MAP else 0

    @property
    def in_flight(self) -> int:
        """How many tasks of this phase were begun and have no winner yet, as far as the job itself says."""
        return max(0, self.cursor - self.done) if self.phase.working else 0
