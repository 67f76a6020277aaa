"""Claim an output, so that at most one unfinished job writes to it."""

from s3mr.errors import RequestError
from s3mr.model.job import JobSpec
from s3mr.ports import JobStore


def claim_output(store: JobStore, spec: JobSpec) -> None:
    """Claim the job's output. It is not an error if the job has claimed it before.

    Check that the output is empty only after this: then no other job can fill it in between.

    Raises:
        RequestError: another job has claimed it.
    """
    holder = store.claim_output(spec.output, job_id=spec.job_id)
    if holder is not None:
        raise RequestError(
            f"job {holder} writes to {spec.output}: wait for that job, cancel it, or choose another output"
        )
