"""Read from a job's record what its output must contain."""

from s3mr.errors import RequestError
from s3mr.model.job import Phase
from s3mr.model.success import Totals
from s3mr.remote.job_home import JobHome, job_in
from s3mr.verification import Expected


def expected_of(home: JobHome, job_id: str) -> tuple[str, Expected]:
    """Return the location of a job's output, and its expected contents.

    Raises:
        RequestError: the job does not exist, has not succeeded, or printed its output instead of keeping it.
    """
    job = job_in(home, job_id)
    if job.phase is not Phase.SUCCEEDED:
        raise RequestError(f"job {job_id} has no output to verify: its phase is {job.phase}")
    if job.spec.printed:
        raise RequestError(f"job {job_id} has no output to verify: it printed its output and did not keep it")
    totals = Totals.of(job.counters)
    return job.spec.output, Expected(job_id=job_id, totals=totals, parts=job.spec.tasks(job.spec.last_phase))
