"""The state of a job, for people and programs. It does not include the job's secret."""

from collections.abc import Sequence

from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import Failure, JobId, JobState, LiveAttempt, Phase, TaskPhase
from s3mr.remote.job_home import JobHome, no_job


class TaskCounts(FrozenModel):
    """The progress of the tasks of one phase."""

    phase: TaskPhase
    tasks: int
    done: int


class JobStatus(FrozenModel):
    """The state of a job. Times are seconds since 1970."""

    job_id: JobId
    phase: Phase
    coordinator: bool | None  # whether one runs; None: not checked, or the job holds nothing any more
    tasks: tuple[TaskCounts, ...]  # of each phase that has tasks
    running: int  # tasks started that have no winner yet
    attempts: int  # started so far
    retried: int  # of these, because an earlier one had failed
    ignored: int  # completions that came too late to count
    cancel_requested: bool
    input_objects: int
    input_bytes: int
    output: str
    created_at: float
    phase_started_at: float
    deadline_at: float
    ended_at: float | None
    failure: Failure | None
    resumed_from: JobId | None


def status_of(home: JobHome, job_id: str) -> JobStatus:
    """Return the current state of a job.

    Raises:
        RequestError: the job does not exist.
    """
    seen = home.stack.store.observe(job_id)
    if seen is None:
        raise no_job(home, job_id)
    return describe(
        seen.job,
        ignored=max(seen.job.ignored, home.stack.store.count_ignored(seen.job)),
        live=seen.live,
        cancel_requested=seen.cancel_requested,
        coordinator=None if seen.job.released else home.has_coordinator(job_id),
    )


def newest(home: JobHome, count: int) -> list[JobStatus]:
    """Return the states of the newest jobs, newest first. They come from the job records alone."""
    return [describe(job, ignored=job.ignored) for job in home.stack.store.newest(count)]


def describe(
    job: JobState,
    *,
    ignored: int,
    live: Sequence[LiveAttempt] | None = None,
    cancel_requested: bool = False,
    coordinator: bool | None = None,
) -> JobStatus:
    """Return the state of ``job``. Without its live attempts, tasks that started and are not done count as running."""
    if live is None:
        running = job.in_flight
    else:
        running = len({one.task for one in live if one.phase is job.phase and one.failure is None})
    return JobStatus(
        job_id=job.spec.job_id,
        phase=job.phase,
        coordinator=coordinator,
        tasks=tuple(
            TaskCounts(phase=phase, tasks=job.spec.tasks(phase), done=job.done_in(phase))
            for phase in (Phase.MAP, Phase.REDUCE)
            if job.spec.tasks(phase)
        ),
        running=running,
        attempts=job.attempts,
        retried=job.retried,
        ignored=ignored,
        cancel_requested=cancel_requested or job.cancelled,
        input_objects=job.spec.input_objects,
        input_bytes=job.spec.input_bytes,
        output=job.spec.output,
        created_at=job.created_at,
        phase_started_at=job.phase_started_at,
        deadline_at=job.created_at + job.spec.deadline_s,
        ended_at=job.ended_at,
        failure=job.failure,
        resumed_from=job.spec.resumed_from,
    )
