"""The shuffle index: where the pieces of each partition are stored. Written once, at the barrier; read by reducers.

A segment covers up to `limits.INDEX_SEGMENT_TASKS` map tasks. It is one object of R columns of equal size. Column r
has one entry for each map task, in order: worker id (8 bytes), offset of the piece in its object, its length, records
and CRC-32C. A column ends with the CRC-32C of its entries. Numbers are little-endian.
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
    """One piece: the worker that wrote it, and where it starts in the worker's object."""

    worker: str
    offset_bytes: int
    piece: Piece


def column_range(partition: int, *, tasks: int) -> tuple[int, int]:
    """Return where a partition's column is in a segment of ``tasks`` map tasks: bytes ``[start, stop)``."""
    size = tasks * _ENTRY.size + _CRC_BYTES
    return partition * size, (partition + 1) * size


def encode_segment(
    entries: Sequence[tuple[str, bytes]], *, layout: Layout, reducers: int
) -> Iterator[tuple[bytes, Books]]:
    """Yield the columns of a segment, each with the total records and checksum of its pieces.

    ``entries`` are (worker, its R packed pieces), one for each map task, in order.

    Raises:
        InvariantError: a map task does not have R pieces.
    """
    if any(len(packed) != reducers * limits.PIECE_COLUMN_BYTES for _, packed in entries):
        raise InvariantError(f"a map task does not have {reducers} pieces")
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
        InvariantError: the column is damaged, or is not for ``tasks`` map tasks.
    """
    entries = column[:-_CRC_BYTES]
    if len(column) != tasks * _ENTRY.size + _CRC_BYTES:
        raise InvariantError(f"a column of {len(column)} bytes is not for {tasks} map tasks")
    if google_crc32c.value(entries).to_bytes(_CRC_BYTES, "little") != column[-_CRC_BYTES:]:
        raise InvariantError("a column of the shuffle index is damaged: its CRC-32C differs")
    return [
        PieceEntry(worker.hex(), offset, Piece(length, records, crc32c))
        for worker, offset, length, records, crc32c in _ENTRY.iter_unpack(entries)
    ]
