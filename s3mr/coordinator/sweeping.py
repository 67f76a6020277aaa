"""Sweep: delete what no manifest names any more."""

from s3mr.model import keys
from s3mr.ports import ObjectStore


def sweep(objects: ObjectStore, job_id: str) -> None:
    """Delete the plan and every intermediate object of an ended job, zombies' included. Repeating it is harmless."""
    for prefix in (keys.plan_prefix(job_id), keys.job_prefix(job_id)):
        objects.delete(objects.list(prefix))
