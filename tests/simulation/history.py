"""What has befallen a simulated job: every harm that was done to it, so that its failure can be judged."""

from collections import Counter
from typing import Final

from s3mr import limits
from s3mr.model.job import FailureKind, JobState
from s3mr.model.report import TaskRequest
from tests.simulation.loop import START, Process
from tests.simulation.scenario import Scenario

Task = tuple[str, str, int]  # job, phase, number

#: Faults of an operation after which its caller is told to try again.
REFUSED: Final = ("refuse", "lose-answer", "late-effect", "partial")
_RIVALRY: Final = ("in the way", "is job ", "is lost")  # what failures say that another job has caused
_DELAYS: Final = ("pause", "slow")


class History:
    """Counts harms, by task where they are one task's."""

    def __init__(self) -> None:
        self.deaths: Counter[Task] = Counter()  # executions that could not report in time
        self.refusals: Counter[Task] = Counter()  # executions may have met a busy service
        self.raised: Counter[Task] = Counter()  # user functions that raised
        self.no_rooms: Counter[Task] = Counter()  # attempts for which there was no room in time
        self.delays = 0  # of the coordinator, between its log of a launch and the launch
        self.damages = 0  # what was read was damaged, or is gone
        self.inputs_changed = False
        self.stopped: set[str] = set()  # jobs that were to be ended because their coordinator failed
        self.cancelled: set[str] = set()

    def harm(self, request: TaskRequest, fault: str) -> None:
        """Note that an execution, or its report, met ``fault``."""
        task = task_of(request)
        if fault in REFUSED:
            self.refusals[task] += 1
        else:
            self.deaths[task] += 1

    def harmed(self, process: Process, fault: str) -> None:
        """Note that an operation of ``process`` met ``fault``."""
        if fault in ("flip", "truncate"):
            self.damages += 1
        elif isinstance(process.work, TaskRequest):
            self.harm(process.work, fault)
        elif fault in _DELAYS:
            self.delays += 1

    def excuses(self, job: JobState, scenario: Scenario, now: float, *, rivals: bool) -> bool:
        """Whether the failure of ``job`` is one that it may have; ``rivals``: others want the same output."""
        failure = job.failure
        if failure is None:
            return False
        task: Task = (job.spec.job_id, str(failure.phase), failure.task if failure.task is not None else -1)
        by_rival = rivals and any(words in failure.message for words in _RIVALRY)
        raised, spent = self.raised[task], self.raised[task] + self.deaths[task] + self.delays >= scenario.attempts
        overdue = now + scenario.skew_s >= job.created_at + scenario.deadline_s
        excuses = {
            FailureKind.USER: scenario.mixed or raised >= limits.USER_ATTEMPTS or (raised > 0 and spent),
            FailureKind.CRASH: spent or scenario.mixed,  # a task of mixed keys has failed once for that
            FailureKind.TRANSIENT: self.refusals[task] >= limits.TRANSIENT_ATTEMPTS,
            FailureKind.NO_ROOM: False,  # it takes hours
            FailureKind.INVARIANT: self.damages > 0 or job.spec.job_id in self.stopped or by_rival,
            FailureKind.REQUEST: self.inputs_changed or overdue or by_rival,
        }
        return excuses[failure.kind]


def task_of(request: TaskRequest) -> Task:
    """Return the task that a request is about."""
    return (request.spec.job_id, str(request.phase), request.task)


def since_start(now: float) -> float:
    """Return a moment as seconds after the start."""
    return now - START
