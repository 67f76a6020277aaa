"""A run as bytes: a sequence of frames, each compressed, checksummed and of bounded size.

A frame is a header and a body. The header holds six little-endian unsigned 32-bit numbers: length of the body,
length of its content, groups, records, CRC-32C of the body, CRC-32C of the twenty bytes before it. The body is
the content in zstd; the content is MessagePack of two columns, ``[keys, values_lists]``. A key with many values
continues in the next group, and in the next frame. An empty run is no bytes at all.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import google_crc32c
import zstandard

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.model.manifest import Piece
from s3mr.shuffle.codec import Encoder, decode
from s3mr.shuffle.keys import SCALARS, Key
from s3mr.shuffle.values import Value, check_value, column_bytes

_HEADER: Final = struct.Struct("<IIIIII")
_CHECKED_BYTES: Final = _HEADER.size - 4
_LEVEL: Final = 1  # of zstd: about as fast as the disk
_GROWTH_MAX: Final = 2**15  # zstd's most: 4 bytes for a block of 128 KiB (RFC 8878, 3.1.1.2)
_KEY_TYPES: Final = frozenset((*SCALARS, tuple))
GROUP_BYTES: Final = 200  # what a key takes besides itself: its place in a dict, and its list of values


class Frame(NamedTuple):
    """Keys in order, and for each the values of this group, never none. A key may stand in several groups."""

    keys: list[Key]
    values: list[list[Value]]


class WrittenRun(NamedTuple):
    """What was written: its stored length, records and CRC-32C, and how much memory its largest frame takes."""

    piece: Piece
    frame_bytes_max: int


def frame_bytes(memory_bytes: int) -> int:
    """Return how much memory a frame should take where a task may use ``memory_bytes``."""
    return min(max(memory_bytes // 256, limits.FRAME_BYTES_MIN), limits.FRAME_BYTES_MAX)


def write_run(
    groups: Iterable[tuple[Key, Iterable[Value]]], write: Callable[[bytes], object], *, frame_bytes: int
) -> WrittenRun:
    """Write ``groups``, which are in key order, as one run; a frame is written at once, its header and then its body.

    A frame takes at most ``frame_bytes`` of memory when it is read (and less than that as bytes before
    compression), unless a single key or value takes more.

    Raises:
        RequestError: the run grows beyond what the shuffle index can tell.
    """
    frames = _FrameWriter(write)
    for key, values in groups:
        key_bytes = GROUP_BYTES + check_value(key)
        for items, size in _bounded(values, max(frame_bytes - key_bytes, 1)):
            if frames.size_bytes and frames.size_bytes + key_bytes + size > frame_bytes:
                frames.flush()
            frames.keys.append(key)
            frames.values.append(items)
            frames.size_bytes += key_bytes + size
            if frames.size_bytes >= frame_bytes:
                frames.flush()  # before the next is asked for: it may be large, too
    frames.flush()
    return WrittenRun(Piece(frames.length_bytes, frames.records, frames.crc32c), frames.frame_bytes_max)


def read_run(blocks: Iterable[bytes]) -> Iterator[Frame]:
    """Yield the frames of the run that ``blocks``, cut anywhere, make up.

    Raises:
        InvariantError: the bytes are no run: a checksum differs, or it ends inside a frame.
    """
    decompress = zstandard.ZstdDecompressor().decompress
    pending = bytearray()
    header: tuple[int, ...] | None = None
    for block in blocks:
        pending += block
        while len(pending) >= (_HEADER.size if header is None else header[0]):
            if header is None:
                header = _checked_header(_cut(pending, _HEADER.size))
            else:
                yield _frame(header, [_cut(pending, header[0])], decompress)
                header = None
    if pending or header:
        raise InvariantError("a run that ends inside a frame")


def _cut(pending: bytearray, length_bytes: int) -> bytes:
    """Take so many bytes away from the start."""
    taken = bytes(memoryview(pending)[:length_bytes])
    del pending[:length_bytes]
    return taken


class _FrameWriter:
    """Collects groups, and writes them as a frame at each `flush`."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._encode = Encoder().encode
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self.keys: list[Key] = []
        self.values: list[list[Value]] = []
        self.size_bytes = 0  # in memory, of what was collected
        self.length_bytes = self.records = self.crc32c = self.frame_bytes_max = 0

    def flush(self) -> None:
        if not self.keys:
            return
        if self.size_bytes > limits.PIECE_BYTES_MAX:
            raise RequestError("a single value of more than 4 GiB cannot cross the shuffle")
        content = self._encode([self.keys, self.values])
        if self.size_bytes > limits.FRAME_BYTES_MAX:
            self._encode = Encoder().encode  # its buffer is as large as what it encoded
        content_bytes, groups, records = len(content), len(self.keys), sum(map(len, self.values))
        self.keys, self.values = [], []
        body = self._compress(content)
        del content  # a large value is held twice at most, besides the value itself
        packed = _HEADER.pack(len(body), content_bytes, groups, records, google_crc32c.value(body), 0)
        checked = packed[:_CHECKED_BYTES]
        header = checked + google_crc32c.value(checked).to_bytes(4, "little")
        self.length_bytes += len(header) + len(body)
        if self.length_bytes > limits.PIECE_BYTES_MAX:
            raise RequestError(
                "one map task wrote more than 4 GiB for one partition: use smaller splits or more reducers"
            )
        for data in (header, body):
            self._write(data)
            self.crc32c = google_crc32c.extend(self.crc32c, data)
        self.records += records
        self.frame_bytes_max = max(self.frame_bytes_max, self.size_bytes)
        self.size_bytes = 0


def _bounded(values: Iterable[Value], size_bytes_max: int) -> Iterator[tuple[list[Value], int]]:
    """Cut ``values`` into lists that take no more than ``size_bytes_max``, or are one value; yield their sizes."""
    if type(values) is list:
        size = check_value(values[0]) if len(values) == 1 else column_bytes(values)
        if size <= size_bytes_max or len(values) == 1:
            yield values, size
            return
    items: list[Value] = []
    size = 0
    for value in values:
        value_bytes = check_value(value)
        if items and size + value_bytes > size_bytes_max:
            yield items, size
            items, size = [], 0
        items.append(value)
        size += value_bytes
    if items:
        yield items, size


def _checked_header(packed: bytes) -> tuple[int, ...]:
    header = _HEADER.unpack(packed)
    if google_crc32c.value(packed[:_CHECKED_BYTES]) != header[-1]:
        raise InvariantError("a frame whose header is damaged")
    return header


def _frame(header: tuple[int, ...], bodies: list[bytes], decompress: Callable[..., bytes]) -> Frame:
    """Decode the one body; it is taken out of the list, so that it goes as soon as it is not needed any more."""
    _, content_bytes, groups, records, crc32c, _ = header
    body = bodies.pop()
    if google_crc32c.value(body) != crc32c:
        raise InvariantError("a frame whose body is damaged")
    if content_bytes > len(body) * _GROWTH_MAX:
        raise InvariantError(f"a frame of {len(body)} bytes that promises {content_bytes}")
    try:
        if zstandard.frame_content_size(body) != content_bytes:
            raise InvariantError("a frame that would not be as long as its header says")
        content = decompress(body, max_output_size=content_bytes)
    except zstandard.ZstdError as error:
        raise InvariantError(f"a frame that cannot be decompressed: {error}") from error
    del body
    return _checked_frame(decode(content), groups, records)


def _checked_frame(columns: Any, groups: int, records: int) -> Frame:  # noqa: ANN401 - whatever was decoded
    """Take ``columns`` for a frame if it is one."""
    if type(columns) is list and list(map(type, columns)) == [list, list]:
        keys, values = columns
        kinds = set(map(type, keys))
        if (
            len(keys) == len(values) == groups
            and len(kinds) == 1
            and kinds <= _KEY_TYPES
            and set(map(type, values)) == {list}
            and sum(map(len, values)) == records
        ):
            return Frame(keys, values)
    raise InvariantError("a frame whose content is not as its header says")
