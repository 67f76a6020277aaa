"""Claiming: of all jobs that have not ended, at most one writes to an output."""

from s3mr.errors import RequestError
from s3mr.model.job import JobSpec
from s3mr.ports import JobStore


def claim_output(store: JobStore, spec: JobSpec) -> None:
    """Claim the job's output; a claim of its own stands.

    Look whether it is empty only then: in this order nobody else can fill it in between.

    Raises:
        RequestError: it is another job's.
    """
    holder = store.claim_output(spec.output, job_id=spec.job_id)
    if holder is not None:
        raise RequestError(f"{spec.output} is job {holder}'s: wait for it, cancel it, or name another output")
