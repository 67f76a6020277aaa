"""Run one reduce task: merge the pieces of its partition, apply the user's reduce, and write a part."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import google_crc32c

from s3mr import limits
from s3mr.errors import InvariantError
from s3mr.model import object_names
from s3mr.model.manifest import Books, Piece
from s3mr.model.report import TaskRequest
from s3mr.model.statistics import Counters
from s3mr.ports import ObjectStore
from s3mr.shuffle.frames import frame_bytes
from s3mr.shuffle.merge import merge_runs
from s3mr.shuffle.shuffle_index import column_range, decode_column
from s3mr.worker.part_lines import write_part
from s3mr.worker.task_context import TaskContext, TaskOutput
from s3mr.worker.user_functions import UserCode

_SMALL_BYTES: Final = 256 * 1024  # pieces up to this size are prefetched whole
_READ_AHEAD: Final = 8


@dataclass(frozen=True, slots=True)
class _StoredPiece:
    """A piece that is not empty, the object that contains it, and where it starts there."""

    key: str
    start: int
    piece: Piece


def run_reduce(request: TaskRequest, *, worker: str, user_code: UserCode, context: TaskContext) -> TaskOutput:
    """Run the reduce task of ``request`` as ``worker``.

    Raises:
        UserCodeError: reduce raised, or yielded an object that cannot be written; with the key.
        InvariantError: the index or a piece is missing, or differs from what its writer reported.
    """
    inputs = _Pieces(request, context)
    groups = merge_runs(
        inputs.runs(),
        memory_bytes=request.spec.memory_bytes // 2,  # the other half is for Python, user code and S3
        frame_bytes=frame_bytes(request.spec.memory_bytes),
        scratch=context.scratch,
    )
    lines = user_code.reduced(groups)
    try:
        part = write_part(lines, request, worker=worker, context=context)
    except InvariantError as error:
        raise InvariantError(f"{inputs.reading}: {error}") if inputs.reading else error from error
    return TaskOutput(
        counters=Counters(records_out=part.records, bytes_out=part.size_bytes), books=inputs.books, part=part
    )


class _Pieces:
    """Reads the pieces of one partition. ``books`` sums up what it has read; ``reading`` names the current piece."""

    def __init__(self, request: TaskRequest, context: TaskContext) -> None:
        self._spec = request.spec
        self._partition = request.task
        self._store = context.store
        self._parallel = context.parallel
        self.books = Books()
        self.reading: str | None = None

    def runs(self) -> Iterator[Iterator[bytes]]:
        """Yield each piece that is not empty, ordered by map task, as blocks of bytes."""
        for stored, content in self._parallel.map(self._read_if_small, self._stored(), width=_READ_AHEAD):
            self.reading = stored.key
            yield iter((content,)) if content is not None else _verified(self._store, stored)
            self.books += Books(records=stored.piece.records, checksum=stored.piece.crc32c)
            self.reading = None

    def _read_if_small(self, stored: _StoredPiece) -> tuple[_StoredPiece, bytes | None]:
        small = stored.piece.length_bytes <= _SMALL_BYTES
        return stored, b"".join(_verified(self._store, stored)) if small else None

    def _stored(self) -> Iterator[_StoredPiece]:
        """Read the shuffle index, one segment at a time."""
        for segment, first in enumerate(range(0, self._spec.map_tasks, limits.INDEX_SEGMENT_TASKS)):
            tasks = min(limits.INDEX_SEGMENT_TASKS, self._spec.map_tasks - first)
            start, stop = column_range(self._partition, tasks=tasks)
            key = object_names.index_segment(self._spec.job_id, segment)
            column = b"".join(self._store.stream(key, start=start, stop=stop))
            for task, entry in enumerate(decode_column(column, tasks=tasks), start=first):
                if entry.piece.length_bytes:
                    yield _StoredPiece(self._piece_key(entry.worker, task), entry.offset_bytes, entry.piece)

    def _piece_key(self, worker: str, task: int) -> str:
        job_id = self._spec.job_id
        if self._spec.layout == "packed":
            return object_names.packed_pieces(job_id, worker=worker, map_task=task)
        return object_names.split_piece(job_id, worker=worker, map_task=task, partition=self._partition)


def _verified(store: ObjectStore, stored: _StoredPiece) -> Iterator[bytes]:
    """Yield the blocks of a piece; raise at the end if they differ from what its writer reported."""
    length_bytes = crc32c = 0
    stop = stored.start + stored.piece.length_bytes
    for block in store.stream(stored.key, start=stored.start, stop=stop):
        length_bytes += len(block)
        crc32c = google_crc32c.extend(crc32c, block)
        yield block
    if (length_bytes, crc32c) != (stored.piece.length_bytes, stored.piece.crc32c):
        raise InvariantError(
            f"{stored.key}, bytes {stored.start} to {stop}, differs from what its writer reported: "
            f"{length_bytes} bytes with CRC-32C {crc32c:08x}, not {stored.piece.crc32c:08x}"
        )
