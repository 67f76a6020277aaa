"""Watch a job that runs without this command. You can stop watching at any time; the job keeps running."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from s3mr.adapters.files.intermediates_copy import copy_objects
from s3mr.errors import DetachedError, JobFailedError, RequestError, S3mrError, TransientError
from s3mr.model.job import JobState, Phase
from s3mr.model.result import JobResult
from s3mr.remote.job_home import JobHome, no_job

POLL_S = 1.0  # at first; the longer the job runs, the less a second matters
POLL_S_MAX = 5.0
SLOWER_EVERY_S = 60.0
RELEASE_S_MAX = 60.0
STILL_S_MAX = 60.0  # a job that does not change for this long may have lost its coordinator
BLIND_S_MAX = 300.0  # give up if the services are out of reach for this long

Watch = Callable[[JobState, int], object]  # gets the job, and how many of its tasks run


def wait(
    home: JobHome,
    job: JobState,
    *,
    watch: Watch = lambda _job, _running: None,
    keep_intermediate: Path | None = None,
) -> JobResult:
    """Wait for a job, and return its result. Copy its plan and intermediate objects to ``keep_intermediate`` if given.

    Raises:
        RequestError: ``keep_intermediate`` is given, but the job was submitted without it; or the job was cleaned.
        JobFailedError: the job failed or was cancelled; there is no output.
        DetachedError: contact with the job was lost; it keeps running.
        KeyboardInterrupt: its text says how to find the job again.
    """
    job_id = job.spec.job_id
    if keep_intermediate is not None and not job.spec.keep_intermediate:
        raise RequestError(
            f"--keep-intermediate: job {job_id} was submitted without it, and deletes what it no longer needs"
        )
    with _detaching(home, job_id):
        ended = _follow(home, job, watch)
    if ended is None:
        raise no_job(home, job_id)
    if keep_intermediate is not None:
        copy_objects(home.stack.objects, job_id, keep_intermediate, became=ended.phase)
    if ended.phase is Phase.SUCCEEDED:
        return JobResult.of(ended)
    raise JobFailedError(ended.failure.story() if ended.failure else f"{job_id} was cancelled")


def _follow(home: JobHome, job: JobState, watch: Watch) -> JobState | None:
    """Poll the job until it ends, and return it as it is then, or None if it was cleaned.

    Make sure that it has a coordinator, at first and whenever it has not changed for a while.
    """
    job_id, clock = job.spec.job_id, home.stack.clock
    began_at = seen_at = changed_at = clock.now()
    watch(job, job.in_flight)
    if not job.released:
        home.carry_on(job_id)
    while not _over(job, clock.now()):
        took_s = max(0.0, clock.now() - began_at)  # the clock may have been set back
        clock.sleep(min(POLL_S + took_s / SLOWER_EVERY_S, POLL_S_MAX))
        try:
            found = home.stack.store.read_job(job_id)
            if found == job and clock.now() - changed_at >= STILL_S_MAX:
                home.carry_on(job_id)
                changed_at = clock.now()
        except TransientError:
            if clock.now() - seen_at > BLIND_S_MAX:
                raise
            continue
        if found is None:
            return None
        seen_at = clock.now()
        if found != job:
            job, changed_at = found, seen_at
        watch(job, job.in_flight)
    return job


def _over(job: JobState, now: float) -> bool:
    """Whether to stop waiting. A failed job is over once it has released its output, so you can use that again."""
    if job.phase is Phase.SUCCEEDED or job.released:
        return True
    return job.phase.terminal and now > (job.ended_at or now) + RELEASE_S_MAX


@contextmanager
def _detaching(home: JobHome, job_id: str) -> Iterator[None]:
    """If an interrupt or an error ends the watching, say that the job keeps running, and how to find it again."""
    commands = "".join(f"\n  s3mr {verb} {job_id} {home.option}" for verb in ("watch", "cancel"))
    advice = f"job {job_id} keeps running; to follow it, or to cancel it:{commands}"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(advice) from None
    except S3mrError as error:
        raise DetachedError(f"{error}\n{advice}") from error
