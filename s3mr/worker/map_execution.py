"""Run one map task: its records through the user's map into R pieces, or, without reduce, into a part.

Everything is stored before the outcome is returned, so a report never promises bytes that are not there.
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
from s3mr.worker.task_context import Outcome, Surroundings
from s3mr.worker.user_functions import UserCode

_PUTS_AHEAD: Final = 8
_EMPTY: Final = Piece(0, 0, 0)


def run_map(request: TaskRequest, *, worker: str, user_code: UserCode, surroundings: Surroundings) -> Outcome:
    """Run the map task of ``request`` as ``worker``.

    Raises:
        UserCodeError: a user's function raised, or yielded what cannot be carried; with source and record.
        RequestError: a piece or an object would be larger than S3 or the shuffle index can hold.
    """
    if request.spec.reducers == 0:
        return _map_to_part(request, worker=worker, user_code=user_code, surroundings=surroundings)
    spec, records = request.spec, surroundings.open_records(request)
    frame = frame_bytes(spec.memory_bytes)
    with SortBuffer(
        reducers=spec.reducers,
        partition=user_code.partition(spec.reducers),
        combine=user_code.combine,
        folding=user_code.folding(limits.record_bytes_max(spec.memory_bytes)),
        memory_bytes=spec.memory_bytes // 2,  # the other half is for Python, the user's code and S3
        frame_bytes=frame,
        scratch=surroundings.scratch,
        value_bytes_max=limits.record_bytes_max(spec.memory_bytes),
    ) as buffer:
        user_code.map_into(buffer, records)
        store = _store_packed if spec.layout == "packed" else _store_split
        pieces = store(
            buffer.partitions(), request=request, worker=worker, frame_bytes=frame, surroundings=surroundings
        )
        _check_books(buffer, pieces)
    return Outcome(
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


def _check_books(buffer: SortBuffer, pieces: list[Piece]) -> None:
    """Every pair that map has yielded was stored, where nothing combines them.

    Raises:
        InvariantError: some were lost on the way, or came twice.
    """
    stored = sum(piece.records for piece in pieces)
    if not buffer.combines and stored != buffer.pairs:
        raise InvariantError(
            f"map has yielded {buffer.pairs} pairs, and {stored} were stored: something has changed what Python's own "
            "functions do"
        )


def _store_packed(
    partitions: Partitions, *, request: TaskRequest, worker: str, frame_bytes: int, surroundings: Surroundings
) -> list[Piece]:
    """Store all pieces in one object, in order of partition."""
    pieces = [_EMPTY] * request.spec.reducers
    with surroundings.scratch() as file:
        for partition, pairs in partitions:
            pieces[partition] = write_run(pairs, file.write, frame_bytes=frame_bytes).piece
        if (size_bytes := file.tell()) > limits.PUT_BYTES_MAX:
            raise RequestError(f"map task {request.task} wrote {size_bytes} bytes, S3 takes 5 GiB: use smaller splits")
        if size_bytes:
            key = object_names.packed_pieces(request.spec.job_id, worker=worker, map_task=request.task)
            surroundings.store.put(key, file)
    return pieces


def _store_split(
    partitions: Partitions, *, request: TaskRequest, worker: str, frame_bytes: int, surroundings: Surroundings
) -> list[Piece]:
    """Store each piece that is not empty as an object of its own."""
    pieces = [_EMPTY] * request.spec.reducers

    def bodies() -> Iterator[tuple[str, BinaryIO]]:
        for partition, pairs in partitions:
            file = surroundings.scratch()
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
                surroundings.store.put(key, file)

    for _ in surroundings.parallel.map(put, bodies(), width=_PUTS_AHEAD):
        pass
    return pieces


def _map_to_part(request: TaskRequest, *, worker: str, user_code: UserCode, surroundings: Surroundings) -> Outcome:
    records = surroundings.open_records(request)
    lines = user_code.mapped(records)
    part = write_part(lines, request, worker=worker, surroundings=surroundings)
    return Outcome(
        counters=Counters(
            records_in=user_code.records,
            bytes_in=records.consumed_bytes,
            pairs_mapped=part.records,
            records_out=part.records,
            bytes_out=part.size_bytes,
        ),
        part=part,
    )
