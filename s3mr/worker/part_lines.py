"""Write pairs as the lines of one part, in blocks."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final, TypeAlias

from s3mr.errors import TransientError
from s3mr.model import object_names
from s3mr.model.manifest import Part
from s3mr.model.object_names import OpenedPart
from s3mr.model.report import TaskRequest
from s3mr.worker.task_context import Surroundings

Lines: TypeAlias = tuple[bytes, int]  # whole lines, and how many
_BLOCK_BYTES: Final = 256 * 1024


def write_part(lines: Iterable[Lines], request: TaskRequest, *, worker: str, surroundings: Surroundings) -> Part:
    """Write ``lines`` as the part of the task; durable on return, and nothing is left of it if anything raises."""
    job_id, name = request.spec.job_id, object_names.part(request.task)

    def note(upload: str) -> None:
        """Leave a note of an upload, by which the coordinator finds it should this worker die."""
        surroundings.store.put(object_names.upload_note(job_id, OpenedPart(name, worker, upload)), b"")

    part = surroundings.output.open_part(name, worker=worker, announce=note)
    try:
        block: list[bytes] = []
        size_bytes = records = 0
        for written, count in lines:
            block.append(written)
            size_bytes += len(written)
            records += count
            if size_bytes >= _BLOCK_BYTES:
                part.write(b"".join(block))
                block, size_bytes = [], 0
        if block:
            part.write(b"".join(block))
        return part.finish(records=records)
    except Exception:
        with suppress(TransientError):  # what raised first says more; a leftover upload is swept at the end
            part.abandon()
        raise
