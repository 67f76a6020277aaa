"""The history of one task: every known attempt and its outcome."""

from collections.abc import Iterator, Sequence
from typing import Literal

from s3mr.errors import RequestError
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import Failure, JobId, JobState, LiveAttempt, Phase, TaskPhase, WorkerId
from s3mr.model.manifest import Manifest
from s3mr.ports import Logged
from s3mr.remote.job_home import JobHome, no_job

Verdict = Literal["won", "running", "failed", "ignored", "forged", "silent"]


class Execution(FrozenModel):
    """One execution of an attempt; an attempt may execute several times. Unknown values are None."""

    attempt: int
    verdict: Verdict  # silent: it started, and never reported
    worker: WorkerId | None = None
    backup: bool | None = None
    launched_at: float | None = None
    lease_until: float | None = None  # by then it must have reported
    reported_at: float | None = None
    duration_s: float | None = None
    failure: Failure | None = None


class TaskHistory(FrozenModel):
    """All known executions of one task, by attempt."""

    job_id: JobId
    phase: TaskPhase
    task: int
    executions: tuple[Execution, ...]


def history(home: JobHome, job_id: str, *, phase: TaskPhase, task: int) -> TaskHistory:
    """Return the history of a task.

    Raises:
        RequestError: the job or the task does not exist.
    """
    store = home.stack.store
    seen = store.observe(job_id)
    if seen is None:
        raise no_job(home, job_id)
    _check_task(seen.job, phase, task)
    live = [one for one in seen.live if one.phase is phase and one.task == task]
    winner = store.manifests(seen.job, phase, [task]).get(task)
    logged = store.logged(seen.job, phase, task)
    found = sorted(executions(winner, live, logged, now=home.stack.clock.now()), key=lambda one: one.attempt)
    return TaskHistory(job_id=job_id, phase=phase, task=task, executions=tuple(found))


def executions(
    winner: Manifest | None, live: Sequence[LiveAttempt], logged: Sequence[Logged], *, now: float
) -> Iterator[Execution]:
    """Yield the executions found in the three sources of a task's attempts, each execution once."""
    started = {one.attempt: one for one in live}
    if winner is not None:
        yield _about(started, attempt=winner.attempt, verdict="won", worker=winner.worker, duration_s=winner.duration_s)
    for one in logged:
        yield _about(
            started,
            attempt=one.attempt,
            verdict=one.verdict,
            worker=one.worker,
            reported_at=one.at,
            failure=one.failure,
        )
    reported = {one.attempt for one in logged if one.verdict != "forged"} | ({winner.attempt} if winner else set())
    for number, attempt in started.items():
        if number not in reported:
            yield _about(started, attempt=number, verdict=_unreported(attempt, now), failure=attempt.failure)
    for number in range(1, max({*reported, *started}, default=0)):
        if number not in reported and number not in started:
            yield Execution(attempt=number, verdict="silent")


def _unreported(attempt: LiveAttempt, now: float) -> Verdict:
    if attempt.failure is not None:
        return "failed"
    return "running" if attempt.lease_until > now else "silent"


def _about(started: dict[int, LiveAttempt], *, attempt: int, **known: object) -> Execution:
    """Return an execution, with the details of its attempt if that is still live."""
    live = started.get(attempt)
    if live is not None:
        known |= {"backup": live.backup, "launched_at": live.launched_at, "lease_until": live.lease_until}
    return Execution.model_validate({"attempt": attempt, **known})


def _check_task(job: JobState, phase: TaskPhase, task: int) -> None:
    tasks = job.spec.tasks(phase)
    if not 0 <= task < tasks:
        there = f"its {phase} tasks are {phase}/0 to {phase}/{tasks - 1}" if tasks else f"it has no {phase} tasks"
        raise RequestError(f"job {job.spec.job_id} has no task {phase}/{task}: {there}")


def parse_task(text: str) -> tuple[TaskPhase, int]:
    """Return the phase and the task that ``text`` names, such as ``map/3`` or ``reduce/0``.

    Raises:
        RequestError: it does not name a task.
    """
    phase, _, number = text.replace(":", "/").partition("/")
    if phase not in (Phase.MAP, Phase.REDUCE) or not number.isdecimal():
        raise RequestError(f"not a task: {text!r}; write map/3 or reduce/0")
    return (Phase.MAP if phase == Phase.MAP else Phase.REDUCE), int(number)
