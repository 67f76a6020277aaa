"""Decide what a tick does while map or reduce tasks run: launch, relaunch, start backup attempts, advance, or stop.

Sources: Dean and Ghemawat, "MapReduce" (OSDI 2004), sections 3.3 (failed workers) and 3.6 (backup tasks).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from s3mr import limits
from s3mr.model.job import AttemptId, Failure, JobState, LiveAttempt
from s3mr.policy.retries import Relaunch, Running, judge_task, superseded


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete these live attempts: their task has a winner, or they are superseded."""

    attempts: tuple[AttemptId, ...]


@dataclass(frozen=True, slots=True)
class Launch:
    """Start these attempts. ``cursor`` is the number of tasks that were launched at least once, after this."""

    attempts: tuple[AttemptId, ...]
    cursor: int


@dataclass(frozen=True, slots=True)
class Advance:
    """Every task of the phase has a winner."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The job has failed."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for ``seconds``, or until a report arrives."""

    seconds: float


Action = Forget | Launch | Advance | Stop | Wait


def suspects(job: JobState, live: Iterable[LiveAttempt], *, now: float) -> tuple[int, ...]:
    """Return the live tasks that may have a winner already, which the caller must check.

    A task with a winner can still have a live attempt: `record` died between two writes, the attempt competed with the
    winner, or a stale tick wrote it again. So this returns tasks without a running attempt, tasks with several
    attempts, and all live tasks if the job made no progress for a while.
    """
    stalled = now - max(job.progressed_at, job.phase_started_at) >= limits.STALL_S
    found = []
    for task, attempts in _by_task(live):
        idle = all(one.failure or one.lease_until <= now for one in attempts)
        if stalled or idle or attempts[-1].attempt > 1:
            found.append(task)
    return tuple(found)


def median_sample(job: JobState, live: Iterable[LiveAttempt]) -> tuple[int, ...]:
    """Return the finished tasks whose durations give the median, or nothing while the median is not needed."""
    total = job.spec.tasks(job.phase)
    if job.median_s is not None or total < limits.BACKUP_TASKS_MIN or job.cursor < total:
        return ()
    unfinished = {one.task for one in live}
    if 2 * (total - len(unfinished)) < total:
        return ()
    finished = [task for task in range(total) if task not in unfinished]
    step = -(-len(finished) // limits.MEDIAN_SAMPLE)
    return tuple(finished[::step])


def decide(
    job: JobState,
    live: Iterable[LiveAttempt],
    *,
    won: frozenset[int],
    capacity: int,
    now: float,
) -> tuple[Action, ...]:
    """Return what the coordinator must do next.

    ``won`` are the tasks among the `suspects` that have a winner. ``capacity`` is how many attempts may run at once.
    """
    tasks = _by_task(live)
    leftover = tuple(
        _id(one) for task, attempts in tasks for one in (attempts if task in won else superseded(attempts))
    )
    forget = (Forget(leftover),) if leftover else ()
    verdicts = [(attempts, judge_task(job.spec, attempts, now=now)) for task, attempts in tasks if task not in won]
    for _, verdict in verdicts:
        if isinstance(verdict, Failure):
            return (*forget, Stop(verdict))
    if not verdicts and job.cursor == job.spec.tasks(job.phase):
        return (*forget, Advance())
    running = [one for _, verdict in verdicts if isinstance(verdict, Running) for one in verdict.attempts]
    unfinished = [attempts for attempts, verdict in verdicts if isinstance(verdict, Running)]
    again = [(attempts[0].task, verdict) for attempts, verdict in verdicts if isinstance(verdict, Relaunch)]
    due = [AttemptId(task=task, attempt=relaunch.attempt) for task, relaunch in again if relaunch.at <= now]
    launch = _fill(job, due, unfinished, free=capacity - len(running), now=now)
    alarms = [relaunch.at for _, relaunch in again if relaunch.at > now]
    alarms += [one.lease_until for one in running]
    wait = Wait(max(0.0, min([limits.STALL_S, *(at - now for at in alarms)])))
    return (*forget, *launch, wait)


def _fill(
    job: JobState, due: list[AttemptId], running: Iterable[tuple[LiveAttempt, ...]], *, free: int, now: float
) -> tuple[Launch, ...]:
    """Fill the free slots with relaunched tasks, then with new tasks, then with backup attempts of stragglers."""
    total = job.spec.tasks(job.phase)
    chosen = due[: max(0, free)]
    fresh = range(job.cursor, min(total, job.cursor + max(0, free - len(chosen))))
    chosen += [AttemptId(task=task, attempt=1) for task in fresh]
    if fresh.stop >= total:
        chosen += _backups(job, running, free=free - len(chosen), now=now)
    return (Launch(tuple(chosen), cursor=max(job.cursor, fresh.stop)),) if chosen else ()


def _backups(job: JobState, running: Iterable[tuple[LiveAttempt, ...]], *, free: int, now: float) -> list[AttemptId]:
    """Start one backup attempt for each straggler, longest running first. ``running`` has all attempts by task."""
    if job.median_s is None:
        return []
    patience_s = max(limits.BACKUP_MEDIAN_FACTOR * job.median_s, job.median_s + limits.BACKUP_LONGER_S)
    late = [
        attempts
        for attempts in running
        if not any(one.backup for one in attempts) and now - attempts[-1].launched_at >= patience_s
    ]
    late.sort(key=lambda attempts: (attempts[-1].launched_at, attempts[-1].task))
    last = [attempts[-1] for attempts in late[: max(0, free)]]
    return [AttemptId(task=one.task, attempt=one.attempt + 1, backup=True) for one in last]


def _by_task(live: Iterable[LiveAttempt]) -> list[tuple[int, tuple[LiveAttempt, ...]]]:
    ordered = sorted(live, key=lambda one: (one.task, one.attempt))
    return [(task, tuple(attempts)) for task, attempts in groupby(ordered, key=lambda one: one.task)]


def _id(one: LiveAttempt) -> AttemptId:
    return AttemptId(task=one.task, attempt=one.attempt, backup=one.backup)
