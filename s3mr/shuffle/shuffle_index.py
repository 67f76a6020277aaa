"""The shuffle index: where the pieces of a partition lie. Written once, at the barrier; read by each reducer.

A segment covers the map tasks of one block of `limits.INDEX_SEGMENT_TASKS` and is one object of R columns of
equal size. Column r has an entry for each map task, in order: worker id (8 bytes), offset of the piece in its
object, its length, records and CRC-32C; and ends with the CRC-32C of these entries. All little-endian.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import add
from typing import Final

import google_crc32c

from s3mr import limits
from s3mr.errors import InvariantError
from s3mr.model.job import Layout
from s3mr.model.manifest import Books, Piece, unpack_columns

_ENTRY: Final = struct.Struct("<8sQIII")
_CRC_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class PieceEntry:
    """One piece: which worker wrote it, and where in the worker's object it begins."""

    worker: str
    offset_bytes: int
    piece: Piece


def column_range(partition: int, *, tasks: int) -> tuple[int, int]:
    """Return the bytes ``[start, stop)`` of a segment for ``tasks`` map tasks that hold a partition's column."""
    size = tasks * _ENTRY.size + _CRC_BYTES
    return partition * size, (partition + 1) * size


def encode_segment(
    entries: Sequence[tuple[str, bytes]], *, layout: Layout, reducers: int
) -> Iterator[tuple[bytes, Books]]:
    """Yield the columns of a segment, each with the books of its pieces.

    ``entries`` are (worker, its R pieces, packed), one for each map task, in order.

    Raises:
        InvariantError: a map task has more pieces, or fewer.
    """
    if any(len(packed) != reducers * limits.PIECE_COLUMN_BYTES for _, packed in entries):
        raise InvariantError(f"a map task whose pieces are not {reducers}")
    workers = [bytes.fromhex(worker) for worker, _ in entries]
    offsets = [0] * len(entries)
    all_entries = struct.Struct(_ENTRY.format[:1] + _ENTRY.format[1:] * len(entries))
    for lengths, records, crcs in unpack_columns([packed for _, packed in entries]):
        column = all_entries.pack(*chain.from_iterable(zip(workers, offsets, lengths, records, crcs, strict=True)))
        if layout == "packed":
            offsets = list(map(add, offsets, lengths))
        yield (
            column + google_crc32c.value(column).to_bytes(_CRC_BYTES, "little"),
            Books(records=sum(records), checksum=sum(crcs) % 2**32),
        )


def decode_column(column: bytes, *, tasks: int) -> list[PieceEntry]:
    """Return the entries of one column, by map task.

    Raises:
        InvariantError: it is damaged or not for so many tasks.
    """
    entries = column[:-_CRC_BYTES]
    if len(column) != tasks * _ENTRY.size + _CRC_BYTES:
        raise InvariantError(f"a column of {len(column)} bytes is not for {tasks} map tasks")
    if google_crc32c.value(entries).to_bytes(_CRC_BYTES, "little") != column[-_CRC_BYTES:]:
        raise InvariantError("a column of the shuffle index is damaged")
    return [
        PieceEntry(worker.hex(), offset, Piece(length, records, crc32c))
        for worker, offset, length, records, crc32c in _ENTRY.iter_unpack(entries)
    ]
