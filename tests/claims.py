"""Who holds an output: seen by asking for it in the name of a job that does not exist."""

from s3mr.ports import JobStore

_NOBODY = "nobody"


def holder_of(store: JobStore, output: str) -> str | None:
    """Return the id of the job whose claim on ``output`` is in force; None: there is none."""
    holder = store.claim_output(output, job_id=_NOBODY)
    if holder is None:
        store.release_output(output, job_id=_NOBODY)
    return holder
