"""Compute a job's next state, one function per transition. `s3mr.coordinator.fence.Lead` writes the result."""

from typing import NamedTuple

from s3mr.model.job import AttemptId, Failure, JobState, LaunchBatch, Phase
from s3mr.model.statistics import Counters


class PhaseProgress(NamedTuple):
    """The progress of a phase: how many tasks are done, when that number last grew, and their median duration."""

    done: int
    progressed_at: float
    median_s: float | None


def progressed(job: JobState, progress: PhaseProgress) -> JobState:
    """Return the job with this progress."""
    return job.model_copy(update=progress._asdict())


def launching(job: JobState, batch: tuple[AttemptId, ...], *, cursor: int, at: float, lease_s: float) -> JobState:
    """Return the job with ``batch`` in its launch log. ``cursor`` counts the tasks launched at least once, after it."""
    return job.model_copy(
        update={
            "launching": LaunchBatch(phase=job.phase, at=at, attempts=batch),
            "cursor": cursor,
            "attempts": job.attempts + len(batch),
            "retried": job.retried + sum(one.attempt > 1 and not one.backup for one in batch),
            "last_lease_until": max(job.last_lease_until, at + lease_s),
        }
    )


def relaunching(job: JobState, batch: tuple[AttemptId, ...], *, at: float, lease_s: float) -> JobState:
    """Return the job with ``batch``, which was logged before, in its launch log again, with new leases."""
    return job.model_copy(
        update={
            "launching": LaunchBatch(phase=job.phase, at=at, attempts=batch),
            "last_lease_until": max(job.last_lease_until, at + lease_s),
        }
    )


def refused(job: JobState, left: tuple[AttemptId, ...]) -> JobState:
    """Return the job with only ``left`` in its launch log: the invoker refused these for now."""
    return job.model_copy(update={"launching": job.launching and job.launching.model_copy(update={"attempts": left})})


def launched(job: JobState) -> JobState:
    """Return the job with an empty launch log."""
    return job.model_copy(update={"launching": None})


def reducing(job: JobState, counters: Counters, *, at: float) -> JobState:
    """Return the job at the start of its reduce phase. ``counters`` is the sum over all map tasks."""
    return job.model_copy(
        update={
            "phase": Phase.REDUCE,
            "cursor": 0,
            "done": 0,
            "median_s": None,
            "phase_started_at": at,
            "map_counters": counters,
            "counters": counters,
        }
    )


def committing(job: JobState, counters: Counters, *, ignored: int) -> JobState:
    """Return the job at the point of no return. ``counters`` is the sum over the last phase."""
    return job.model_copy(
        update={"phase": Phase.COMMITTING, "cursor": 0, "counters": job.counters + counters, "ignored": ignored}
    )


def completed(job: JobState, parts: int) -> JobState:
    """Return the job with this number of ``parts`` completed."""
    return job.model_copy(update={"cursor": parts})


def stopping(job: JobState, failure: Failure | None) -> JobState:
    """Return the job stopping because of ``failure``, or because it was cancelled if ``failure`` is None."""
    if failure is None:
        return job.model_copy(update={"phase": Phase.STOPPING, "cancelled": True})
    return job.model_copy(update={"phase": Phase.STOPPING, "failure": failure})


def ended(job: JobState, phase: Phase, *, at: float) -> JobState:
    """Return the job ended, in a final ``phase``."""
    return job.model_copy(update={"phase": phase, "ended_at": at})


def released(job: JobState) -> JobState:
    """Return the job marked as released: it holds nothing any more."""
    return job.model_copy(update={"released": True})
