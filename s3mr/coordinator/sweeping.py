"""Sweep: delete what no manifest names any more."""

from itertools import chain

from s3mr.coordinator.committing import part_names
from s3mr.model import keys
from s3mr.model.job import JobSpec, JobState, Phase
from s3mr.ports import JobStore, ObjectStore, Output


def sweep(objects: ObjectStore, spec: JobSpec) -> None:
    """Delete the plan and every intermediate object of an ended job, zombies' included. Repeating it is harmless.

    What workers have written must be listed; all that a coordinator can have written has names that are known.
    """
    planned = keys.plan_objects(spec.job_id, map_tasks=spec.map_tasks)
    objects.delete(chain(planned, objects.list(keys.job_prefix(spec.job_id))))


def sweep_leftovers(job: JobState, store: JobStore, objects: ObjectStore, output: Output) -> None:
    """Sweep what attempts have written that outlived their job; to be called when none of them can be alive.

    Where another job writes to the same output by then, what is open there is its own, or falls to its own end.
    """
    mine = (None, job.spec.job_id)
    output.discard_open(part_names(job), still_ours=lambda: store.claimed_by(job.spec.output) in mine)
    if job.phase is Phase.SUCCEEDED and not job.spec.keep_intermediate:
        sweep(objects, job.spec)
