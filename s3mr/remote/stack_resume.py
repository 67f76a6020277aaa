"""Resume a job on a deployed stack: a new job adopts the results of the old job's map tasks.

The stack may have been redeployed meanwhile. So the checks of submit are repeated: workers must still have access to
the buckets, and be able to load the compiled code.
"""

from s3mr.adapters.aws.s3_uri import parse_s3_uri
from s3mr.errors import RequestError
from s3mr.model import object_names
from s3mr.model.job import JobSpec, JobState
from s3mr.options import JobRequest
from s3mr.remote.job_home import Deployment, job_in
from s3mr.remote.package import check_packed
from s3mr.remote.stack_submission import check_places, place_facts, start_coordinator


def resume(at: Deployment, job_id: str, *, output: str | None = None) -> JobState:
    """Return the job that continues: a new one if the old one has ended without success, else the same one.

    Raises:
        RequestError: there is nothing to resume, something it needs is gone, or the stack's workers can no longer run
            it; the text says which.
    """
    job = job_in(at, job_id)
    if output is not None:
        output = check_places(at.description, (), output)
    resumer = at.stack.resumer()
    if job.released:
        spec = resumer.plan(job_id, output=output, functions=at.description.functions)
        _check_fits(at, job.spec, spec)
        return start_coordinator(resumer.submit(spec), at)
    if output is not None:
        raise RequestError(f"--output: job {job_id} has not ended; it still writes to {job.spec.output}")
    if job.phase.terminal:
        at.carry_on(job_id)
        raise RequestError(
            f"job {job_id} has ended ({job.phase}), and is releasing what it holds: resume it in a minute"
        )
    job = resumer.take_up(job_id)
    at.carry_on(job_id)
    return job


def _check_fits(at: Deployment, old: JobSpec, new: JobSpec) -> None:
    """Check that the stack, as it is now, can still run the job."""
    place_facts(at.description, JobRequest(memory=new.memory_bytes, task_timeout_s=new.task_timeout_s))
    check_places(at.description, _an_input_of_each_bucket(at, old), new.output)
    if new.functions != old.functions:  # function versions never change, so the code works on the old ones
        bundle = b"".join(at.stack.objects.stream(object_names.bundle(old.job_id)))
        check_packed(bundle, old.bundle, at.description)


def _an_input_of_each_bucket(at: Deployment, spec: JobSpec) -> list[str]:
    found: dict[str, str] = {}
    for task in at.stack.resumer().plan_of(spec):
        for split in task.splits:
            found.setdefault(parse_s3_uri(split.source).bucket, split.source)
    return list(found.values())
