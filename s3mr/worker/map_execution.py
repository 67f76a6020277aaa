"""Run one map task: apply the user's map to its records, and store R pieces, or a part if the job has no reduce.

All data is stored before the task output is returned, so a report never names bytes that do not exist.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.model import object_names
from s3mr.model.manifest import Piece, pack_pieces
from s3mr.model.report import TaskRequest
from s3mr.model.statistics import Counters
from s3mr.shuffle.frames import frame_bytes, write_run
from s3mr.shuffle.sort_buffer import Partitions, SortBuffer
from s3mr.worker.part_lines import write_part
from s3mr.worker.task_context import TaskContext, TaskOutput
from s3mr.worker.user_functions import UserCode

_PUTS_AHEAD: Final = 8
_EMPTY: Final = Piece(0, 0, 0)


def run_map(request: TaskRequest, *, worker: str, user_code: UserCode, context: TaskContext) -> TaskOutput:
    """Run the map task of ``request`` as ``worker``.

    Raises:
        UserCodeError: a user's function raised, or yielded an object that cannot be serialized; with source and record.
        RequestError: a piece or an object would be larger than S3 or the shuffle index allows.
    """
    if request.spec.reducers == 0:
        return _map_to_part(request, worker=worker, user_code=user_code, context=context)
    spec, records = request.spec, context.open_records(request)
    frame = frame_bytes(spec.memory_bytes)
    with SortBuffer(
        partition=user_code.partition(spec.reducers),
        combine=user_code.combine,
        folding=user_code.folding(limits.record_bytes_max(spec.memory_bytes)),
        memory_bytes=spec.memory_bytes // 2,  # the other half is for Python, user code and S3
        frame_bytes=frame,
        scratch=context.scratch,
        value_bytes_max=limits.record_bytes_max(spec.memory_bytes),
    ) as buffer:
        user_code.map_into(buffer, records)
        store = _store_packed if spec.layout == "packed" else _store_split
        pieces = store(buffer.partitions(), request=request, worker=worker, frame_bytes=frame, context=context)
        _check_stored(buffer, pieces)
    return TaskOutput(
        counters=Counters(
            records_in=user_code.records,
            bytes_in=records.consumed_bytes,
            pairs_mapped=buffer.pairs,
            shuffle_records=sum(piece.records for piece in pieces),
            shuffle_bytes=sum(piece.length_bytes for piece in pieces),
        ),
        key_type=buffer.key_type,
        pieces=pack_pieces(pieces),
    )


def _check_stored(buffer: SortBuffer, pieces: list[Piece]) -> None:
    """Check that every pair of a job without a combiner was stored exactly once.

    Raises:
        InvariantError: pairs were lost or duplicated.
    """
    stored = sum(piece.records for piece in pieces)
    if not buffer.combines and stored != buffer.pairs:
        raise InvariantError(
            f"map yielded {buffer.pairs} pairs, but {stored} were stored: check whether the job's code replaces "
            "functions of Python"
        )


def _store_packed(
    partitions: Partitions, *, request: TaskRequest, worker: str, frame_bytes: int, context: TaskContext
) -> list[Piece]:
    """Store all pieces in one object, ordered by partition."""
    pieces = [_EMPTY] * request.spec.reducers
    with context.scratch() as file:
        for partition, pairs in partitions:
            pieces[partition] = write_run(pairs, file.write, frame_bytes=frame_bytes).piece
        if (size_bytes := file.tell()) > limits.PUT_BYTES_MAX:
            raise RequestError(
                f"map task {request.task} wrote {size_bytes} bytes, but S3 accepts at most 5 GiB at once: lower "
                "--split-size"
            )
        if size_bytes:
            key = object_names.packed_pieces(request.spec.job_id, worker=worker, map_task=request.task)
            context.store.put(key, file)
    return pieces


def _store_split(
    partitions: Partitions, *, request: TaskRequest, worker: str, frame_bytes: int, context: TaskContext
) -> list[Piece]:
    """Store each piece that is not empty as its own object."""
    pieces = [_EMPTY] * request.spec.reducers

    def bodies() -> Iterator[tuple[str, BinaryIO]]:
        for partition, pairs in partitions:
            file = context.scratch()
            pieces[partition] = write_run(pairs, file.write, frame_bytes=frame_bytes).piece
            yield (
                object_names.split_piece(
                    request.spec.job_id, worker=worker, map_task=request.task, partition=partition
                ),
                file,
            )

    def put(body: tuple[str, BinaryIO]) -> None:
        key, file = body
        with file:
            if file.tell():
                context.store.put(key, file)

    for _ in context.parallel.map(put, bodies(), width=_PUTS_AHEAD):
        pass
    return pieces


def _map_to_part(request: TaskRequest, *, worker: str, user_code: UserCode, context: TaskContext) -> TaskOutput:
    records = context.open_records(request)
    lines = user_code.mapped(records)
    part = write_part(lines, request, worker=worker, context=context)
    return TaskOutput(
        counters=Counters(
            records_in=user_code.records,
            bytes_in=records.consumed_bytes,
            pairs_mapped=part.records,
            records_out=part.records,
            bytes_out=part.size_bytes,
        ),
        part=part,
    )
