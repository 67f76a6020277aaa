"""Resume a job on a deployed stack: a new job that adopts what the old one's map tasks have done."""

from s3mr.errors import RequestError
from s3mr.model.job import JobState
from s3mr.options import Options
from s3mr.remote.home import Deployment, job_in
from s3mr.remote.submitting import check_places, start_coordinator, surroundings


def resume(at: Deployment, job_id: str, *, output: str | None = None) -> JobState:
    """Return the job that goes on: a new one where the old one has ended without success, else the same.

    Raises:
        RequestError: there is nothing to resume, or what it would need is gone; the text says so.
    """
    job = job_in(at, job_id)
    if output is not None:
        check_places(at.description, (), output)
    resumer = at.stack.resumer()
    if job.released:
        spec = resumer.plan(job_id, output=output, functions=at.description.functions)
        surroundings(at.description, Options(memory=spec.memory_bytes, task_timeout_s=spec.task_timeout_s))
        return start_coordinator(resumer.submit(spec), at)
    if output is not None:
        raise RequestError(f"job {job_id} has not ended: it goes on with the output that it has")
    if job.phase.terminal:
        at.carry_on(job_id)
        raise RequestError(f"job {job_id} has {job.phase}, and is releasing what it holds: resume it in a minute")
    job = resumer.take_up(job_id)
    at.carry_on(job_id)
    return job
