"""Define the manifest, which lists what a winning attempt wrote. Objects that no manifest lists are ignored."""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from s3mr import limits
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import TaskPhase, WorkerId
from s3mr.model.statistics import Counters

_PIECE = struct.Struct("<III")
assert _PIECE.size == limits.PIECE_COLUMN_BYTES  # noqa: S101 - two limits that must agree


class Piece(NamedTuple):
    """The run of one map task for one partition: its stored length, number of records, and CRC-32C."""

    length_bytes: int
    records: int
    crc32c: int


def pack_pieces(pieces: Iterable[Piece]) -> bytes:
    """Return ``pieces`` in binary, 12 bytes per piece."""
    return b"".join(_PIECE.pack(*piece) for piece in pieces)


def unpack_pieces(packed: bytes) -> Iterator[Piece]:
    """Yield the pieces that `pack_pieces` packed."""
    return map(Piece._make, _PIECE.iter_unpack(packed))


def unpack_columns(rows: Sequence[bytes]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Yield, for each partition, the lengths, records and CRC-32Cs of its pieces in all packed ``rows``, in order.

    Only one column is in memory at a time, because unpacked pieces take fifteen times as much.
    """
    for column in zip(*map(_PIECE.iter_unpack, rows), strict=True):
        yield tuple(zip(*column, strict=True))


def _key_type(name: str) -> str:
    """Check that ``name`` is a valid key type, from the innermost tuples outwards.

    The depth is limited, because code that parses it recurses once per level.
    """
    left = name
    for _ in range(limits.KEY_TUPLES_MAX + 1):
        if _SCALAR.fullmatch(left):
            return name
        left = _TUPLE.sub("int", left)
    raise ValueError("not a key type")


_SCALAR = re.compile("str|bytes|int|float|bool")
_TUPLE = re.compile(rf"tuple\[(?:(?:{_SCALAR.pattern})(?:,(?:{_SCALAR.pattern}))*)?\]")
KeyType = Annotated[str, Field(max_length=limits.KEY_TYPE_MAX), AfterValidator(_key_type)]


class Books(FrozenModel):
    """What crossed the shuffle, to compare both sides: records, and the sum of the pieces' CRC-32C modulo 2**32."""

    records: int = Field(default=0, ge=0, lt=2**64)
    checksum: int = Field(default=0, ge=0, lt=2**32)

    def __add__(self, other: "Books") -> "Books":
        return Books(records=self.records + other.records, checksum=(self.checksum + other.checksum) % 2**32)


class Part(FrozenModel):
    """A part that is uploaded to its final place, but not completed yet."""

    name: str = Field(max_length=limits.PART_NAME_MAX)
    upload: str = Field(max_length=limits.UPLOAD_ID_MAX)  # in a folder, the name of the temporary file
    worker: WorkerId  # its writer: an object at its final place is this part only if this worker wrote it
    etags: tuple[Annotated[str, Field(max_length=limits.ETAG_MAX)], ...] = Field(max_length=limits.UPLOAD_PARTS_MAX)
    size_bytes: int = Field(ge=0, le=limits.COUNT_MAX)
    records: int = Field(ge=0, le=limits.COUNT_MAX)
    crc32c: int = Field(ge=0, lt=2**32)


class Manifest(FrozenModel):
    """What the first completed attempt of a task wrote. A task has at most one, which never changes."""

    phase: TaskPhase
    task: int = Field(ge=0, lt=limits.MAP_TASKS_MAX)
    attempt: int = Field(ge=1, le=limits.ATTEMPT_NUMBER_MAX)
    worker: WorkerId
    duration_s: float = Field(ge=0, le=limits.COUNT_MAX)
    counters: Counters
    key_type: KeyType | None = None  # of the mapped pairs; None if there are no pairs
    pieces: bytes | None = Field(  # map: `pack_pieces` of R pieces
        default=None, max_length=limits.REDUCERS_MAX * limits.PIECE_COLUMN_BYTES
    )
    books: Books | None = None  # reduce: what it read
    part: Part | None = None  # reduce; also map in a job without reduce
