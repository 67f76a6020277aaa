"""The history of a simulated job: every fault that hit it, so that its failure can be judged."""

from collections import Counter
from typing import Final

from s3mr.model.job import FailureKind, JobState, Phase
from s3mr.model.report import TaskRequest
from tests.simulation.loop import START, Process
from tests.simulation.scenario import Scenario

Task = tuple[str, Phase, int]  # job, phase, number
Attempt = tuple[str, Phase, int, int]  # the task, and the attempt's number

_REFUSED: Final = ("refuse", "lose-answer", "late-effect", "partial", "truncate")


class History:
    """Records faults, by attempt if they hit a single one."""

    def __init__(self) -> None:
        self.died: set[Attempt] = set()  # that may not have reported in time
        self.raised: set[Attempt] = set()  # in which a user's function raised
        self.refused: set[Attempt] = set()  # that met a busy service or a truncated read
        self.invoked: Counter[Attempt] = Counter()
        self.no_rooms: Counter[Task] = Counter()  # attempts that found no free worker in time
        self.damages = 0  # number of damaged or missing reads
        self.damaged_at = 0.0  # time of the last damage
        self.began_at: dict[str, float] = {}  # jobs: when their submitter started
        self.taken_over: set[str] = set()  # jobs whose machine was lost, and whose attempts are being relaunched
        self.inputs_changed_at: float | None = None
        self.stopped: set[str] = set()  # jobs to be ended because their coordinator failed
        self.cancelled: set[str] = set()
        self.committed: set[str] = set()  # jobs that began to commit
        self.claimed_late: set[str] = set()  # jobs that had ended when their output was claimed for them

    def damaged(self, now: float) -> None:
        """Record that something was damaged."""
        self.damages += 1
        self.damaged_at = now

    def harmed(self, process: Process, fault: str, now: float) -> None:
        """Record that an operation of ``process`` met ``fault``."""
        if fault in ("flip", "truncate"):
            self.damaged(now)
        if not isinstance(process.work, TaskRequest):
            return
        attempt = attempt_of(process.work)
        if process.kind == "worker" and fault in _REFUSED:
            self.refused.add(attempt)
        if fault in ("die-before", "die-after") or (process.kind == "record" and fault in ("pause", "slow")):
            self.died.add(attempt)

    def excuses(self, job: JobState, scenario: Scenario, now: float, *, rivalled: bool, lied: bool) -> bool:
        """Return whether ``job`` had a reason for a failure that is not a task's.

        ``rivalled``: another job had its output before it began, or, in another table, before it committed.
        ``lied``: one of its winners is false.
        """
        failure = job.failure
        if failure is None:
            return False
        overdue = now + 2 * scenario.skew_s >= job.created_at + scenario.deadline_s
        excuses = {
            FailureKind.USER: failure.task is not None or scenario.mixed,
            FailureKind.INVARIANT: self.damaged_at >= self.began_at[job.spec.job_id]
            or job.spec.job_id in self.stopped
            or lied
            or rivalled,
            FailureKind.REQUEST: self.inputs_changed_at is not None or overdue or rivalled,
        }
        return excuses.get(failure.kind, failure.task is not None)


def task_of(request: TaskRequest) -> Task:
    """Return the task of a request."""
    return (request.spec.job_id, request.phase, request.task)


def attempt_of(request: TaskRequest) -> Attempt:
    """Return the attempt of a request."""
    return (*task_of(request), request.attempt)


def since_start(now: float) -> float:
    """Return a time as seconds after the start."""
    return now - START
