"""Launch again the attempts of a process that died with its workers: a command, on a laptop."""

from collections.abc import Iterable
from dataclasses import replace
from math import ceil

from s3mr import limits
from s3mr.batching import batched
from s3mr.coordinator.fence import FencedError
from s3mr.coordinator.ticker import Ticker
from s3mr.coordinator.transitions import relaunching
from s3mr.errors import TransientError
from s3mr.model.job import AttemptId, JobState, LiveAttempt


def launch_again(ticker: Ticker, job_id: str) -> None:
    """Launch again the attempts that a dead process had launched: its workers died with it.

    They keep their numbers, so this uses up no attempts. If a worker is still alive, an attempt executes twice. If
    there are more attempts than can run here at once, leases grow by the time that the last ones wait.

    Raises:
        TransientError: a service is busy, or another process has written the job: the dead one, whose last write has
            arrived only now, or one that drives the same job. Some attempts may not be launched. You can call it again.
    """
    try:
        _launch_again(ticker, job_id)
    except FencedError as error:
        raise TransientError(f"another command is driving job {job_id}") from error


def _launch_again(ticker: Ticker, job_id: str) -> None:
    seen = ticker.store.observe(job_id)
    if seen is None or not seen.job.phase.working or seen.cancel_requested:
        return
    job, phase = seen.job, seen.job.phase
    live = [one for one in seen.live if one.phase is phase]
    won = ticker.store.manifests(job, phase, sorted({one.task for one in live}))
    ticker.store.forget(job_id, phase, [_id(one) for one in live if one.task in won])  # `record` died between writes
    lead, batches = ticker.lead(job), _left_launched(job, [one for one in live if one.task not in won])
    waves = ceil(sum(map(len, batches)) / ticker.capacity)
    launcher = replace(ticker.launcher, waiting_s=ticker.launcher.waiting_s * max(1, waves))
    for batch in batches:
        lead.save(relaunching(lead.job, batch, at=ticker.clock.now(), lease_s=0.0))
        launcher.repeat(lead)


def _left_launched(job: JobState, live: Iterable[LiveAttempt]) -> list[tuple[AttemptId, ...]]:
    """Return batches of attempts that may be running. The launch log comes first: nothing else may know of them."""
    logged = job.launching.attempts if job.launching else ()
    known = {(one.task, one.attempt) for one in logged}
    others = (_id(one) for one in live if one.failure is None and (one.task, one.attempt) not in known)
    return [*([logged] if logged else []), *map(tuple, batched(others, limits.LAUNCH_BATCH))]


def _id(one: LiveAttempt) -> AttemptId:
    return AttemptId(task=one.task, attempt=one.attempt, backup=one.backup)
