"""Sweep: delete what no manifest names any more."""

from s3mr.coordinator.committing import part_names
from s3mr.model import keys
from s3mr.model.job import JobState, Phase
from s3mr.ports import JobStore, ObjectStore, Output


def sweep(objects: ObjectStore, job_id: str) -> None:
    """Delete the plan and every intermediate object of an ended job, zombies' included. Repeating it is harmless."""
    for prefix in (keys.plan_prefix(job_id), keys.job_prefix(job_id)):
        objects.delete(objects.list(prefix))


def sweep_leftovers(job: JobState, store: JobStore, objects: ObjectStore, output: Output) -> None:
    """Sweep what attempts have written that outlived their job; to be called when none of them can be alive.

    Where another job writes to the same output by then, what is open there is its own, or falls to its own end.
    """
    mine = (None, job.spec.job_id)
    output.discard_open(part_names(job), still_ours=lambda: store.claimed_by(job.spec.output) in mine)
    if job.phase is Phase.SUCCEEDED and not job.spec.keep_intermediate:
        sweep(objects, job.spec.job_id)
