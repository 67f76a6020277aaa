"""A simulated world: a job, a cloud, and its faults, all fixed before anything runs."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from s3mr.model.job import Phase

RIVAL: Final = "rival"  # the name of another job that wants the output

Combining = Literal["sum", "sum-combined", "join"]  # join: reduce joins its values, so that their order shows

#: Faults of single I/O operations, by the kind of process that they hit. Rates are per operation.
IO_FAULTS: Final = (
    "refuse",  # a service is busy: the operation has no effect
    "lose-answer",  # it takes effect, but the caller gets an error that leaves this open
    "repeat",  # it takes effect twice, as if a client sent a request again; the second response is returned
    "late-effect",  # the caller gets an error that leaves the effect open; it takes effect later
    "partial",  # part of a batch takes effect
    "die-before",
    "die-after",
    "pause",  # the process pauses for long, after the effect
    "slow",  # the operation takes very long
)
#: Faults of reads, and of the world between the processes. Rates are per occasion.
OTHER_FAULTS: Final = (
    "torn",  # a job is read at one moment, its live attempts at a later one
    "flip",
    "truncate",
    "refuse-invocation",
    "lose-invocation",
    "repeat-invocation",
    "late-invocation",
    "lose-report",
    "repeat-report",
    "late-report",
    "forge",  # a report for an attempt without its token, or for another attempt with it
    "garble",  # the delivered event is not a report
    "lie",  # a worker sends a false report with its own token
    "hang",  # a worker hangs until its timeout
    "raise",  # a user's function raises, this once
    "lose-coordinator",  # its execution is aborted without an event
    "no-destination",  # a dead worker's death is not reported
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The fixed parameters of a run. Times ``_at_s`` are seconds after the start."""

    seed: int
    texts: tuple[bytes, ...]  # the input objects
    split_size_bytes: int
    reducers: int
    layout: Literal["split", "packed"]
    combining: Combining
    own_partition: bool  # the job has a partition function
    keys: int  # distinct ones
    skewed: bool  # most records have one key
    attempts: int = 4
    task_timeout_s: float = 6.0
    waiting_s: float = 60.0  # an invocation's event age
    capacity: int = 1000  # attempts that the coordinator runs at once
    concurrency: int = 1000  # attempts that the cloud runs at once
    workers: int | None = None  # attempts of this job at once
    batch: int = 100  # attempts launched, parts committed, winners adopted at a time
    segment: int = 1000  # map tasks in one object of the shuffle index
    keeps: bool = False  # intermediates are kept
    deadline_s: float = 24 * 3600.0
    mixed: bool = False  # keys of one object are numbers, which a job with reduce must not mix
    poison: bool = False  # the user's function always raises on one record
    io_rates: dict[str, dict[str, float]] = field(default_factory=dict)  # by kind of process
    rates: dict[str, float] = field(default_factory=dict)
    aimed: dict[str, str] = field(default_factory=dict)  # operations of any process, and the fault that hits each
    skew_s: float = 0.0  # the largest difference between a clock and the true time
    clock_steps: float = 0.0  # how often a clock is set just before it is read, while its process runs
    storm: tuple[float, float] | None = None  # from when to when every operation is refused
    storm_at_workers: bool = False  # only operations of workers are refused then
    heals_at_s: float = 0.0  # after this, no faults strike
    cancel_at_s: float | None = None
    cancel_in: Phase | None = None  # as soon as the job is in this phase
    second_coordinator_at_s: float | None = None
    stop_at_s: float | None = None  # somebody stops the execution
    rival_at_s: float | None = None  # somebody submits another job to the same output
    input_changes_at_s: float | None = None
    object_vanishes_at_s: float | None = None
    object_shrinks_at_s: float | None = None
    upload_vanishes_at_s: float | None = None
    machine_dies_at_s: float | None = None  # everything except the services, as on a laptop
    machine_dies_at_write: int | None = None  # or after this many writes of a job by a coordinator
    room_after: int | None = None  # attempts that run at once on the machine that takes over
    driven_early: bool = False  # jobs are driven as soon as they can be, beside their submitter
    laptop: bool = False  # the command that submits a job also drives it
    looks_at_s: float | None = None  # people check on their jobs before the world has healed
    resumes: bool = False  # a job that did not succeed is resumed
    cleans: bool = False  # everything is cleaned up in the end

    rival_reducers: int = 1  # of the other job that wants the output
    rival_elsewhere: bool = False  # its claim is in another table: neither job knows of the other

    @property
    def map_only(self) -> bool:
        return self.reducers == 0

    def job_of(self, name: str) -> "Scenario":
        """Return the scenario of the job ``name``. The rival has other functions, and another number of parts."""
        if name != RIVAL:
            return self
        other: Combining = "sum" if self.combining == "join" else "join"
        return replace(self, reducers=self.rival_reducers, combining=other, own_partition=False, mixed=False)
