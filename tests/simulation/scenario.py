"""What one simulated world is: a job, a cloud, and what goes wrong in it; all of it fixed before anything runs."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from s3mr.model.job import Phase

RIVAL: Final = "rival"  # the name of the job of whoever else wants the output

Combining = Literal["sum", "sum-combined", "join"]  # join: reduce joins its values, so that their order shows

#: Faults of single I/O operations, by the kind of process that they hit; rates are per operation.
IO_FAULTS: Final = (
    "refuse",  # a service is busy: nothing happened
    "lose-answer",  # it happened, and the caller is told that it may not have
    "repeat",  # it happened twice, as where a client sends a request again; the second answer is told
    "late-effect",  # the caller is told that it may not have happened; it happens later
    "partial",  # a batch happened in part
    "die-before",
    "die-after",
    "pause",  # the process stands still for long, after the effect
    "slow",  # the operation takes very long
)
#: Faults of what is read, and of the world between the processes; rates are per occasion.
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
    "forge",  # somebody speaks for an attempt without its token, or for another one with it
    "garble",  # what arrives is no report
    "lie",  # a worker reports, with its own token, what is not so
    "hang",  # a worker stands still until its time is over
    "raise",  # a user's function raises, this once
    "lose-coordinator",  # its execution is aborted, and nobody hears of it
    "no-destination",  # a dead worker's death is not reported
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """See the module. Times ``_at_s`` are seconds after the start."""

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
    capacity: int = 1000  # attempts that the coordinator runs at once …
    concurrency: int = 1000  # … and that the cloud does
    workers: int | None = None  # attempts of this job at once
    batch: int = 100  # attempts launched, parts committed, winners adopted at a time
    segment: int = 1000  # map tasks in one object of the shuffle index
    keeps: bool = False  # intermediates are kept
    deadline_s: float = 24 * 3600.0
    mixed: bool = False  # keys of one object are numbers, which no job with a reduce may have
    poison: bool = False  # the user's function always raises on one record
    io_rates: dict[str, dict[str, float]] = field(default_factory=dict)  # by kind of process
    rates: dict[str, float] = field(default_factory=dict)
    aimed: dict[str, str] = field(default_factory=dict)  # operations, whoever performs them, and the fault each meets
    skew_s: float = 0.0  # how far clocks differ from the true time, at most
    clock_steps: float = 0.0  # how often a clock is set just before it is read, in its process's middle
    storm: tuple[float, float] | None = None  # from when to when every operation is refused …
    storm_at_workers: bool = False  # … or those of workers alone
    heals_at_s: float = 0.0  # from here on nothing goes wrong any more
    cancel_at_s: float | None = None
    cancel_in: Phase | None = None  # as soon as the job is there
    second_coordinator_at_s: float | None = None
    stop_at_s: float | None = None  # somebody stops the execution
    rival_at_s: float | None = None  # somebody submits another job to the same output
    input_changes_at_s: float | None = None
    object_vanishes_at_s: float | None = None
    object_shrinks_at_s: float | None = None
    upload_vanishes_at_s: float | None = None
    machine_dies_at_s: float | None = None  # everything but the services, as on a laptop …
    machine_dies_at_write: int | None = None  # … or as soon as a coordinator has written its job so often
    room_after: int | None = None  # attempts that run at once on the machine that takes over
    driven_early: bool = False  # jobs are driven as soon as they could be, beside whoever submits them
    laptop: bool = False  # the command that submits a job drives it, too
    looks_at_s: float | None = None  # people see how their jobs do, before all is well
    resumes: bool = False  # a job that did not succeed is resumed
    cleans: bool = False  # and in the end everything is cleaned up

    rival_reducers: int = 1  # of the job of whoever else wants the output
    rival_elsewhere: bool = False  # their claim is in another table: neither job knows of the other

    @property
    def map_only(self) -> bool:
        return self.reducers == 0

    def job_of(self, name: str) -> "Scenario":
        """Return the scenario of the job ``name``: the rival's has other functions, and another number of parts."""
        if name != RIVAL:
            return self
        other: Combining = "sum" if self.combining == "join" else "join"
        return replace(self, reducers=self.rival_reducers, combining=other, own_partition=False, mixed=False)
