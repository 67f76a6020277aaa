"""Sweep: abort what attempts left open, and delete what no manifest names any more."""

from collections.abc import Container, Iterator
from itertools import chain
from typing import Final

from s3mr.batching import batched
from s3mr.model import object_names
from s3mr.model.job import JobSpec, JobState, Phase
from s3mr.model.object_names import OpenedPart
from s3mr.ports import ObjectStore, Output

_BATCH: Final = 1000  # objects deleted together


def sweep(objects: ObjectStore, output: Output, spec: JobSpec) -> None:
    """Delete the plan and all that the attempts of an ended job have written; abort what they left open.

    Repeating it is harmless. What workers have written must be listed; all that a coordinator can have written has
    names that are known.
    """
    planned = object_names.plan_objects(spec.job_id, map_tasks=spec.map_tasks)
    for batch in batched(chain(planned, objects.list(object_names.job_prefix(spec.job_id))), _BATCH):
        opened = [one for key in batch if (one := object_names.read_upload_note(spec.job_id, key)) is not None]
        if opened:
            output.discard_open(opened)
        objects.delete(batch)


def discard_uploads(
    objects: ObjectStore, output: Output, spec: JobSpec, *, completed: Container[str] = (), last: bool
) -> None:
    """Abort the uploads that the job's attempts have opened, but those whose ids are among the ``completed``.

    Attempts leave a note of each (`object_names.upload_note`). Uploads without a note belong to others and are not
    touched. Notes that are of no more use are deleted: of completed uploads, and on the ``last`` look all of them.
    Before that, another look may be needed: of an upload that is aborted while it is written to, S3 may keep a part.
    """
    useless: list[str] = []

    def opened() -> Iterator[OpenedPart]:
        """Read the notes; an output that announces nothing never asks for them."""
        for note in objects.list(object_names.uploads_prefix(spec.job_id)):
            one = object_names.read_upload_note(spec.job_id, note)
            over = one is None or one.upload in completed
            if last or over:
                useless.append(note)
            if one is not None and not over:
                yield one

    output.discard_open(opened())
    objects.delete(useless)


def sweep_leftovers(job: JobState, objects: ObjectStore, output: Output) -> None:
    """Sweep what attempts have written that superseded their job; to be called when none of them can be alive."""
    if job.phase is Phase.SUCCEEDED and not job.spec.keep_intermediate:
        sweep(objects, output, job.spec)
    else:
        discard_uploads(objects, output, job.spec, last=True)
