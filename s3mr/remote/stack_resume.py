"""Resume a job on a deployed stack: a new job that adopts what the old one's map tasks have done.

The stack may have been deployed anew meanwhile, so what it refuses at submit is refused here: buckets that workers may
not touch any more, and compiled code that they cannot load.
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
    """Return the job that goes on: a new one where the old one has ended without success, else the same.

    Raises:
        RequestError: there is nothing to resume, what it would need is gone, or the stack's workers cannot do it any
            more; the text says so.
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
        raise RequestError(f"job {job_id} has not ended: it goes on with the output that it has")
    if job.phase.terminal:
        at.carry_on(job_id)
        raise RequestError(f"job {job_id} has {job.phase}, and is releasing what it holds: resume it in a minute")
    job = resumer.take_up(job_id)
    at.carry_on(job_id)
    return job


def _check_fits(at: Deployment, old: JobSpec, new: JobSpec) -> None:
    """See that the stack, as it is now, can do what was asked of it before."""
    place_facts(at.description, JobRequest(memory=new.memory_bytes, task_timeout_s=new.task_timeout_s))
    check_places(at.description, _an_input_of_each_bucket(at, old), new.output)
    if new.functions != old.functions:  # a version never changes: the code has run on the old ones
        bundle = b"".join(at.stack.objects.stream(object_names.bundle(old.job_id)))
        check_packed(bundle, old.bundle, at.description)


def _an_input_of_each_bucket(at: Deployment, spec: JobSpec) -> list[str]:
    found: dict[str, str] = {}
    for task in at.stack.resumer().plan_of(spec):
        for split in task.splits:
            found.setdefault(parse_s3_uri(split.source).bucket, split.source)
    return list(found.values())
