r"""Encode the plan as one object: a segment of JSON for each map task, then an index of fixed-size pointers to them.

``segment 0 | segment 1 | … | pointer 0 | pointer 1 | …``: a reader requests the range of pointer ``i``, then that of
its segment. The JSON is ASCII. File names that are not valid UTF-8 (surrogate escapes) are written as ``\udcXX``.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import google_crc32c

from s3mr.errors import InvariantError
from s3mr.model.plan import MapTask, Pointer

_POINTER: Final = struct.Struct("<QII")
POINTER_BYTES: Final = _POINTER.size


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a job needs to know about its plan: the number of tasks, and the offset of the index."""

    map_tasks: int
    index_offset_bytes: int


def encode_plan(tasks: Iterable[MapTask], write: Callable[[bytes], object]) -> PlanSummary:
    """Write the plan in order. Only the index (16 bytes per task) is in memory."""
    index = bytearray()
    offset_bytes = 0
    for task in tasks:
        segment = json.dumps(task.model_dump(), separators=(",", ":")).encode("ascii")
        write(segment)
        index += _POINTER.pack(offset_bytes, len(segment), google_crc32c.value(segment))
        offset_bytes += len(segment)
    write(bytes(index))
    return PlanSummary(map_tasks=len(index) // POINTER_BYTES, index_offset_bytes=offset_bytes)


def decode_plan(index: bytes, segments: Iterable[bytes]) -> Iterator[MapTask]:
    """Yield all tasks in order, from the index and from the segments before it, in blocks of any size.

    Raises:
        InvariantError: the bytes are not those that were planned.
    """
    blocks, held = iter(segments), bytearray()
    for at in range(0, len(index), POINTER_BYTES):
        pointer = decode_pointer(index[at : at + POINTER_BYTES])
        while len(held) < pointer.length_bytes and (block := next(blocks, b"")):
            held += block
        yield decode_map_task(bytes(held[: pointer.length_bytes]), pointer)
        del held[: pointer.length_bytes]


def decode_pointer(data: bytes) -> Pointer:
    """Return the pointer in `POINTER_BYTES` of the index."""
    if len(data) != POINTER_BYTES:
        raise InvariantError(f"a pointer of the plan must have {POINTER_BYTES} bytes, not {len(data)}")
    offset_bytes, length_bytes, crc32c = _POINTER.unpack(data)
    return Pointer(offset_bytes=offset_bytes, length_bytes=length_bytes, crc32c=crc32c)


def decode_map_task(segment: bytes, pointer: Pointer) -> MapTask:
    """Return the task that ``segment`` describes.

    Raises:
        InvariantError: the bytes are not those that were planned.
    """
    if len(segment) != pointer.length_bytes or google_crc32c.value(segment) != pointer.crc32c:
        raise InvariantError(f"the plan is damaged at byte {pointer.offset_bytes}: its checksum differs")
    try:
        return MapTask.model_validate(json.loads(segment))
    except (ValueError, RecursionError) as error:
        raise InvariantError(f"the plan is not valid at byte {pointer.offset_bytes}: s3mr did not write it") from error
