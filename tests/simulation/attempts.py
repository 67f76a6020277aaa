"""The invariants of attempts: S8 (new, and logged first), S10 (in budget, due), L5 (causes of failure).

The policy's numbers are repeated here on purpose: comparing them with themselves would prove nothing.
"""

from collections import defaultdict
from math import ceil
from typing import Final

from s3mr import limits
from s3mr.model.job import AttemptId, FailureKind, JobState, LiveAttempt, Phase
from s3mr.ports import Observation
from tests.claims import holder_of
from tests.simulation.facts import Facts
from tests.simulation.history import Attempt, Task, attempt_of
from tests.simulation.loop import Process
from tests.simulation.scenario import Scenario

_FREE: Final = (FailureKind.TRANSIENT, FailureKind.NO_ROOM)  # failures that cost no attempt
_LATE_S: Final = 10.0  # between the log of a launch and its effect: the attempt may outlive its lease
_BACKUP_AFTER_S: Final = 10.0  # longer than the quickest winner took
_BACKUP_TASKS_MIN: Final = 10
_REPORT_S: Final = 15.0  # transit of a report, within its attempt's lease
_WAIT_S_MAX: Final = 30.0  # half of the longest pause before a retry: the jitter is at least a half


class Attempts:
    """Checks when attempts are logged, begun and recorded as failed."""

    def __init__(self, facts: Facts, scenario: Scenario) -> None:
        self._facts, self._check, self._scenario = facts, facts.check, scenario
        self._skew_s, self._mixed = scenario.skew_s, scenario.mixed
        self._begun: defaultdict[Task, dict[int, bool]] = defaultdict(dict)  # attempt: whether it is a backup
        self._logged: set[Attempt] = set()
        self._failures: dict[Attempt, tuple[FailureKind, float, float]] = {}  # when failed, when recorded
        self._rewritten: set[Task] = set()  # tasks with a failed attempt that was written again, very late
        self._invoked_at: dict[Attempt, float] = {}
        self._invoked_by: dict[Attempt, Process] = {}
        self._lease_until: dict[Attempt, float] = {}  # the latest
        self._observed_at: dict[Process, float] = {}
        self._asked: dict[tuple[Process, Attempt], float] = {}  # when its tick last observed
        self._seen_done: dict[Process, tuple[Phase, int]] = {}  # by ticks, at their last observation

    def observed(self, process: Process, seen: Observation | None) -> None:
        """Record that a tick observed its job. S10: it saved how many tasks it saw done at its last observation."""
        now, looked_at = self._facts.loop.now, self._observed_at.get(process)
        self._observed_at[process] = now
        phase, done = self._seen_done.pop(process, (None, 0))
        if seen is None:
            return
        job = seen.job
        saved = job.phase is not phase or job.done >= done or looked_at == now
        self._check(saved, "S10", f"{process.name} saw {done} {phase} tasks done, and {job.done} are said to be")
        if job.phase.working and job.launching is None and "torn" not in self._scenario.rates:
            unfinished = {one.task for one in seen.live if one.phase is job.phase}
            self._seen_done[process] = (job.phase, job.cursor - len(unfinished))

    def overtaken(self, process: Process) -> None:
        """Record that a tick could not write its observation."""
        self._seen_done.pop(process, None)

    def logged(self, process: Process, before: JobState, job: JobState) -> None:
        """S8: attempt numbers are new, or of the logged batch, or of a lost machine. S10: new attempts are due."""
        if job.launching is None:
            return
        again, new = () if before.launching is None else before.launching.attempts, []
        for one in job.launching.attempts:
            task = (job.spec.job_id, job.launching.phase, one.task)
            lost = job.spec.job_id in self._facts.history.taken_over
            fresh = one.attempt not in self._begun[task] or one in again or lost
            self._check(fresh, "S8", f"{_shown(task)}, {one} was begun before")
            total = job.spec.tasks(job.launching.phase)
            self._check(one.task < total, "S8", f"{_shown(task)} was begun, of {total} tasks")
            if (*task, one.attempt) not in self._logged:
                self._logged.add((*task, one.attempt))
                self._check_due(process, job, task, one)
            if one not in again and one.attempt not in self._begun[task]:  # also if it had already won
                new.append(one)
        counted = (job.attempts - before.attempts, job.retried - before.retried)
        due = (len(new), sum(one.attempt > 1 and not one.backup for one in new))
        self._check(counted == due, "S10", f"{due} attempts and retries are new, and {counted} were counted")
        if new and not before.attempts:
            holder, there = holder_of(self._facts.table, job.spec.output), self._facts.foreign_parts(job)
            self._check(holder == job.spec.job_id, "S2", f"job {job.spec.job_id} begins, and the output is {holder}'s")
            self._check(not there, "S2", f"job {job.spec.job_id} begins, and its output holds {there}")

    def begin(self, job_id: str, one: LiveAttempt) -> None:
        """S8: a begun attempt was logged. S10: it is within the budget."""
        task = (job_id, one.phase, one.task)
        attempt, begun = (*task, one.attempt), self._begun[task]
        self._check(attempt in self._logged, "S8", f"{_shown(task)}, attempt {one.attempt} was not logged first")
        begun[one.attempt] = one.backup
        self._lease_until[attempt] = max(one.lease_until, self._lease_until.get(attempt, 0.0))
        if self._failures.pop(attempt, None):
            self._rewritten.add(task)
        if self._facts.loop.now - one.launched_at > _LATE_S:
            self._facts.history.died.add(attempt)  # it may be given up too early
        if task in self._rewritten:
            return  # the decision used another count of failures
        attempts = self._facts.jobs[job_id].spec.request.attempts
        costly = [number for number, backup in begun.items() if not backup and self._kind(task, number) not in _FREE]
        self._check(len(costly) <= attempts or one.backup, "S10", f"{_shown(task)}: {costly} count of {attempts}")
        raised = self._of_kind(task, FailureKind.USER)
        self._check(len(raised) <= limits.USER_ATTEMPTS, "S10", f"{_shown(task)} raised {len(raised)} times")
        backups = [number for number, backup in begun.items() if backup and self._kind(task, number) not in _FREE]
        self._check(len(backups) <= 1, "S10", f"{_shown(task)} has two backup attempts")

    def asked(self, process: Process, attempt: Attempt) -> None:
        """Record what a tick knew when it asked for an attempt, which may be invoked later."""
        self._asked[process, attempt] = self._observed_at.get(process, 0.0)

    def invoked(self, process: Process, attempt: Attempt) -> None:
        """S8: an invoked attempt was begun. S10: a task that was seen to have won is not begun again."""
        key, number = attempt[:3], attempt[3]
        self._invoked_at[attempt], self._invoked_by[attempt] = self._facts.loop.now, process
        self._check(number in self._begun[key], "S8", f"{_shown(key)} was invoked before it was written down")
        won_at = self._facts.won_at.get(key)
        if won_at is not None and not self._begun[key].get(number):
            known = won_at < self._asked[process, attempt]
            self._check(not known, "S10", f"{_shown(key)} had won, and was begun again")

    def works(self, process: Process) -> None:
        """S7: an execution that starts so late that it could outlive its attempt's lease does nothing."""
        attempt, spec = attempt_of(process.work), process.work.spec
        over_by = self._lease_until.get(attempt, 0.0) + self._skew_s
        late_s = process.born_at + spec.task_timeout_s + _REPORT_S - over_by
        self._check(late_s <= 0, "S7", f"{process.name} began {late_s:.1f} s too late for its lease")

    def failed(self, job_id: str, phase: Phase, one: AttemptId, kind: FailureKind, failed_at: float) -> None:
        """S8: the first recorded failure is kept. S10: a failure that costs no attempt really had that cause."""
        task = (job_id, phase, one.task)
        noted = self._failures.get((*task, one.attempt))
        self._check(noted is None, "S8", f"{_shown(task)}, attempt {one.attempt} had failed: {noted}")
        self._failures[*task, one.attempt] = (kind, failed_at, self._facts.loop.now)
        history = self._facts.history
        causes = {FailureKind.USER: history.raised, FailureKind.TRANSIENT: history.refused}.get(kind)
        caused = causes is None or (*task, one.attempt) in causes or self._mixed
        self._check(caused, "S10", f"{_shown(task)}, attempt {one.attempt} failed as {kind}, and nothing was the cause")
        no_rooms = len([number for number in self._begun[task] if self._kind(task, number) is FailureKind.NO_ROOM])
        known = history.no_rooms[task]
        self._check(no_rooms <= known, "S10", f"{_shown(task)}: {no_rooms} times no room, and it was {known} times")

    def stopping(self, process: Process, job: JobState) -> None:
        """L5: a task that fails its job has used up its attempts, and each failure had a cause."""
        failure, history = job.failure, self._facts.history
        if failure is None or failure.phase is None or failure.task is None or self._mixed:
            return
        task = (job.spec.job_id, failure.phase, failure.task)
        if task in self._rewritten:
            return  # the observation differs from the table
        counted = [number for number, backup in self._begun[task].items() if not backup]
        costly = [number for number in counted if self._cost(process, task, number)]
        raised, refused = self._of_kind(task, FailureKind.USER), self._of_kind(task, FailureKind.TRANSIENT)
        spent = len(costly) >= job.spec.request.attempts
        enough = {
            FailureKind.USER: len(raised) >= min(limits.USER_ATTEMPTS, job.spec.request.attempts)
            or (spent and raised != []),
            FailureKind.CRASH: spent,
            FailureKind.TRANSIENT: len(refused) >= limits.TRANSIENT_ATTEMPTS,
            FailureKind.NO_ROOM: False,  # it takes hours
        }
        story = f"{_shown(task)} failed as {failure.kind}, with {costly} of {job.spec.request.attempts} attempts spent"
        self._check(enough.get(failure.kind, True), "L5", story)
        for number in costly:
            caused = (*task, number) in history.died | history.raised
            self._check(caused, "L5", f"{story}; nothing had happened to attempt {number}")

    def launched_again(self, process: Process, job: JobState, *, since: float) -> None:
        """L1: attempts of a lost machine are relaunched at once, at no cost, with leases that include waiting."""
        scenario, left = self._scenario, []
        for key, one in self._facts.table._live.items():
            mine = key[:2] == (job.spec.job_id, job.phase) and one.failure is None
            if mine and one.launched_at < since - self._skew_s and key[:3] not in self._facts.winners:
                again = self._invoked_at.get(key, 0.0) >= since
                self._check(again, "L1", f"{_shown(key[:3])}, attempt {one.attempt} was lost and not launched again")
            if mine and self._invoked_by.get(key) is process:
                left.append(one)
        waves = ceil(len(left) / (scenario.room_after or scenario.capacity))
        for one in left:
            leased_s, runs_s = one.lease_until - one.launched_at, waves * scenario.waiting_s + scenario.task_timeout_s
            task = _shown((job.spec.job_id, one.phase, one.task))
            self._check(leased_s >= runs_s, "L1", f"{task} is leased for {leased_s} s, and may end after {runs_s} s")

    def _check_due(self, process: Process, job: JobState, task: Task, one: AttemptId) -> None:
        now, before = self._facts.loop.now + self._skew_s, self._begun[task]
        if one.backup:
            self._check_backup_due(job, task, now)
        elif before:
            last = max(before)
            self._check_none_runs(task, now)
            kind, failed_at, noted_at = self._failures.get((*task, last), (None, 0.0, 0.0))
            refused = self._of_kind(task, FailureKind.TRANSIENT)
            self._check(
                len(refused) < limits.TRANSIENT_ATTEMPTS, "S10", f"{_shown(task)} was refused {len(refused)} times"
            )
            if kind in _FREE and noted_at < self._observed_at[process]:
                count = last if kind is FailureKind.NO_ROOM else len(refused)
                wait_s = min(_WAIT_S_MAX, 0.5 * 2.0 ** min(count - 1, 10))
                self._check(now >= failed_at + wait_s, "S10", f"{_shown(task)} was tried again before {wait_s} s")

    def _check_none_runs(self, task: Task, now: float) -> None:
        """S10: a task is retried only once its attempts can no longer report."""
        live = (one for key, one in self._facts.table._live.items() if key[:3] == task)
        running = [one.attempt for one in live if one.failure is None and one.lease_until > now]
        known = not running or task in self._rewritten
        self._check(known, "S10", f"{_shown(task)} was tried again while {running} ran")

    def _check_backup_due(self, job: JobState, task: Task, now: float) -> None:
        """L3: backups are for the last tasks of a large phase, and only for slow ones."""
        total, won = job.spec.tasks(job.phase), self._facts.winning(job.spec.job_id, job.phase)
        what = f"{_shown(task)} has a backup"
        self._check(total >= _BACKUP_TASKS_MIN, "S10", f"{what}, of {total} tasks")
        self._check(job.cursor == total, "S10", f"{what}, and only {job.cursor} of {total} tasks were begun")
        self._check(2 * len(won) >= total, "S10", f"{what}, and {len(won)} of {total} tasks have won")
        live = [one for key, one in self._facts.table._live.items() if key[:3] == task]
        longest_s = _BACKUP_AFTER_S + min((one.duration_s for one in won), default=0.0)
        if live:
            runs_s = now + self._skew_s - max(live, key=lambda one: one.attempt).launched_at
            self._check(runs_s >= longest_s, "S10", f"{what} after {runs_s:.1f} s, and others took {longest_s:.1f} s")

    def _kind(self, task: Task, number: int) -> FailureKind | None:
        return self._failures.get((*task, number), (None,))[0]

    def _of_kind(self, task: Task, kind: FailureKind) -> list[int]:
        return [
            number for number, backup in self._begun[task].items() if not backup and self._kind(task, number) is kind
        ]

    def _cost(self, process: Process, task: Task, number: int) -> bool:
        """Return whether ``process`` has seen an attempt fail at its own cost: by its report or its lease."""
        kind, _, noted_at = self._failures.get((*task, number), (None, 0.0, 0.0))
        seen_at = self._observed_at.get(process, 0.0)
        if kind is None or (kind in _FREE and noted_at > seen_at):
            live = self._facts.table._live.get((*task, number))
            lease_until = None if live is None else live.lease_until
            if self._facts.won_at.get(task, 0.0) > seen_at:  # and forgotten since it was seen
                lease_until = self._lease_until.get((*task, number))
            return lease_until is not None and lease_until <= seen_at + self._skew_s
        return kind in (FailureKind.USER, FailureKind.CRASH)


def _shown(task: Task) -> str:
    _, phase, number = task
    return f"{phase} {number}"
