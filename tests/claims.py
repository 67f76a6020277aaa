"""Find out which job holds an output, by claiming it for a job that does not exist."""

from s3mr.ports import JobStore

_NOBODY = "nobody"


def holder_of(store: JobStore, output: str) -> str | None:
    """Return the ID of the job whose claim on ``output`` is in force, or None."""
    holder = store.claim_output(output, job_id=_NOBODY)
    if holder is None:
        store.release_output(output, job_id=_NOBODY)
    return holder
