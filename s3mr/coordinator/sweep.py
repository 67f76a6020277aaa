"""Sweep a job: abort uploads that attempts left open, and delete objects that are not needed any more."""

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
    """Delete the plan and all objects that the attempts of an ended job wrote; abort the uploads that they left open.

    Idempotent. It lists the objects that workers wrote. The names of the coordinator's objects are known.
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
    """Abort the uploads that the job's attempts have opened, except those whose ids are in ``completed``.

    An attempt leaves a note for each upload (`object_names.upload_note`). Uploads without a note belong to other
    programs and are not touched. Then delete the notes of completed uploads, or all notes if this is the ``last`` call.
    Until then the other notes are kept for another try: S3 may keep a part of an upload that is aborted while it is
    written to.
    """
    useless: list[str] = []

    def opened() -> Iterator[OpenedPart]:
        """Read the notes. An output that does not announce uploads never calls this."""
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
    """Sweep objects that late attempts wrote after the job ended.

    Call it when no attempt can still run: every lease has expired, or the workers have ended.
    """
    if job.phase is Phase.SUCCEEDED and not job.spec.keep_intermediate:
        sweep(objects, output, job.spec)
    else:
        discard_uploads(objects, output, job.spec, last=True)
