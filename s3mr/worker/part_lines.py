"""Write the lines of one part, in blocks."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final, TypeAlias

from s3mr.errors import TransientError
from s3mr.model import object_names
from s3mr.model.manifest import Part
from s3mr.model.object_names import OpenedPart
from s3mr.model.report import TaskRequest
from s3mr.worker.task_context import TaskContext

Lines: TypeAlias = tuple[bytes, int]  # whole lines, and their number
_BLOCK_BYTES: Final = 256 * 1024


def write_part(lines: Iterable[Lines], request: TaskRequest, *, worker: str, context: TaskContext) -> Part:
    """Write ``lines`` as the part of the task. It is durable on return. If an error is raised, the part is removed."""
    job_id, name = request.spec.job_id, object_names.part(request.task)

    def announce(upload: str) -> None:
        """Store a note of the upload, so that the coordinator finds it if this worker dies."""
        context.store.put(object_names.upload_note(job_id, OpenedPart(name, worker, upload)), b"")

    part = context.output.open_part(name, worker=worker, announce=announce)
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
        with suppress(TransientError):  # the first error matters more; the sweep removes a leftover upload
            part.abandon()
        raise
