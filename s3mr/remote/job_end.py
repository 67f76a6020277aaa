"""Cancel a job, and clean up after one that has ended."""

from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain

from s3mr.errors import RequestError
from s3mr.model import object_names
from s3mr.model.job import Phase
from s3mr.remote.job_home import JobHome, job_in

_COMMITTED = (Phase.COMMITTING, Phase.SUCCEEDED)


class Answer(StrEnum):
    """The result of a request to cancel a job."""

    ASKED = "asked"  # its coordinator will see the request
    CANCELLED = "cancelled"
    FAILED = "failed"  # it had already failed
    TOO_LATE = "too-late"  # its output is committed


def cancel(home: JobHome, job_id: str) -> Answer:
    """Request the cancellation of a job, and make sure that a coordinator sees the request.

    Raises:
        RequestError: the job does not exist.
    """
    job = job_in(home, job_id)
    if not job.phase.terminal and job.phase is not Phase.COMMITTING:
        home.stack.store.request_cancel(job_id, at=home.stack.clock.now())
    if not job.released:
        home.bring_to_its_end(job_id)  # even an ended job may still hold something
        job = job_in(home, job_id)
    if job.phase in _COMMITTED:
        return Answer.TOO_LATE
    return {Phase.CANCELLED: Answer.CANCELLED, Phase.FAILED: Answer.FAILED}.get(job.phase, Answer.ASKED)


def clean(home: JobHome, job_id: str) -> None:
    """Delete everything an ended job left behind, except its output: plan, bundle, intermediates and table items.

    Raises:
        RequestError: the job does not exist, or something may still write for it; the text says what to do.
    """
    job = job_in(home, job_id)
    if not job.phase.terminal:
        raise RequestError(f"job {job_id} has not ended ({job.phase}): end it with s3mr cancel {job_id} {home.option}")
    if not job.released:
        raise RequestError(
            f"job {job_id} has ended ({job.phase}), and is releasing what it holds: try again in a minute; if it fails "
            f"again, s3mr cancel {job_id} {home.option} restarts its coordinator"
        )
    if job.last_lease_until > home.stack.clock.now():
        until = datetime.fromtimestamp(job.last_lease_until, UTC).astimezone()
        raise RequestError(f"attempts of job {job_id} may still write until {until:%H:%M:%S}: clean it after that")
    if _has_uploads(home, job_id):  # its coordinator died before its last sweep
        home.bring_to_its_end(job_id)
        if _has_uploads(home, job_id):
            raise RequestError(f"job {job_id} may have open uploads, which are being aborted: try again in a minute")
    planned = object_names.plan_objects(job_id, map_tasks=job.spec.map_tasks)
    home.stack.objects.delete(chain(planned, home.stack.objects.list(object_names.job_prefix(job_id))))
    home.stack.store.erase(job)


def _has_uploads(home: JobHome, job_id: str) -> bool:
    return any(True for _ in home.stack.objects.list(object_names.uploads_prefix(job_id)))
