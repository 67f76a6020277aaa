"""Watch a job that lives on by itself. Whoever watches may go away at any time: the job does not notice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from s3mr.errors import JobFailedError, S3mrError, TransientError
from s3mr.local.keeping import copy_objects
from s3mr.model.job import JobState, Phase
from s3mr.model.result import JobResult
from s3mr.remote.home import Home, job_in

POLL_S = 1.0  # at first; the longer the job takes, the less a second matters
POLL_S_MAX = 5.0
SLOWER_EVERY_S = 60.0
RELEASE_S_MAX = 60.0
BLIND_S_MAX = 300.0  # services that are out of reach for so long are not waited for

Watch = Callable[[JobState, int], object]  # is shown the job, and how many of its tasks run


def wait(
    home: Home,
    job_id: str,
    *,
    watch: Watch = lambda _job, _running: None,
    keep_intermediate: Path | None = None,
) -> JobResult:
    """Wait for a job, and return its result; if wanted, copy its plan and intermediate objects to a folder.

    Raises:
        RequestError: there is no such job.
        JobFailedError: it failed or was cancelled; there is no output.
        S3mrError: it cannot be seen any more; it goes on.
        KeyboardInterrupt: with a text that says how to find the job again.
    """
    first = job_in(home, job_id)
    with _detaching(home, job_id):
        job = _follow(home, first, watch)
    if keep_intermediate is not None:
        copy_objects(home.stack.objects, job_id, keep_intermediate, became=job.phase)
    if job.phase is Phase.SUCCEEDED:
        return JobResult.of(job)
    raise JobFailedError(job.failure.story() if job.failure else f"{job_id} was cancelled")


def _follow(home: Home, job: JobState, watch: Watch) -> JobState:
    """Look at the job again and again, until it has ended; return it as it is then."""
    job_id, clock = job.spec.job_id, home.stack.clock
    began_at = seen_at = clock.now()
    watch(job, job.in_flight)
    if not job.phase.terminal:
        home.carry_on(job_id)
    while not _over(job, clock.now()):
        clock.sleep(min(POLL_S + (clock.now() - began_at) / SLOWER_EVERY_S, POLL_S_MAX))
        try:
            job = job_in(home, job_id)
        except TransientError:
            if clock.now() - seen_at > BLIND_S_MAX:
                raise
            continue
        seen_at = clock.now()
        watch(job, job.in_flight)
    return job


def _over(job: JobState, now: float) -> bool:
    """One that has failed is waited for until it has given up its output, so that this can be used again."""
    if job.phase is Phase.SUCCEEDED or job.released:
        return True
    return job.phase.terminal and now > (job.ended_at or now) + RELEASE_S_MAX


@contextmanager
def _detaching(home: Home, job_id: str) -> Iterator[None]:
    """Whatever ends the watching, say that the job goes on, and how to find it again."""
    commands = "".join(f"\n  s3mr {verb} {job_id} {home.option}" for verb in ("watch", "cancel"))
    advice = f"job {job_id} goes on; to see it again, or to end it:{commands}"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(advice) from None
    except S3mrError as error:
        raise S3mrError(f"{error}\n{advice}") from error
