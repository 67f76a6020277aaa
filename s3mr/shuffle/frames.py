"""The stored form of a run: a sequence of frames, each compressed, checksummed and of bounded size.

A frame is a header and a body. The header holds seven little-endian unsigned 32-bit numbers: length of the body,
length of its content, memory that its pairs take, groups, records, CRC-32C of the body, CRC-32C of the 24 bytes
before it. The body is the content compressed with zstd. The content is MessagePack of three columns,
``[keys, counts, values]``: ``counts`` says how many of the values belong to each key, nil means one each. A key with
many values can continue in the next frame. An empty run has zero bytes.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, islice, repeat
from typing import Any, Final, NamedTuple, TypeAlias

import google_crc32c
import zstandard

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.model.manifest import Piece
from s3mr.shuffle.codec import Encoder, decode
from s3mr.shuffle.key_types import SCALARS, Key
from s3mr.shuffle.value_types import Value, column_bytes

Pair: TypeAlias = tuple[Key, Value]

_HEADER: Final = struct.Struct("<IIIIIII")
_CHECKED_BYTES: Final = _HEADER.size - 4
_COLUMNS: Final = 3
_LEVEL: Final = 1  # zstd's compression level: about as fast as the disk
_EXPANSION_MAX: Final = 2**15  # zstd's maximum: 4 bytes for a block of 128 KiB (RFC 8878, 3.1.1.2)
_KEY_TYPES: Final = frozenset((*SCALARS, tuple))
_ADDED_PAIRS: Final = 128
PAIR_BYTES: Final = 80  # memory of a pair besides its key and value: a tuple, and list slots while it is sorted


class Frame(NamedTuple):
    """Keys in order, the number of values of each (None: one), and all values. A key can occur several times.

    ``size_bytes`` is the memory that its pairs take.
    """

    keys: list[Key]
    counts: list[int] | None
    values: list[Value]
    size_bytes: int

    def pairs(self) -> Iterator[Pair]:
        """Yield each value with its key."""
        keys = self.keys if self.counts is None else chain.from_iterable(map(repeat, self.keys, self.counts))
        return zip(keys, self.values, strict=True)

    def groups(self) -> Iterator[tuple[Key, list[Value]]]:
        """Yield each key with its values: at least one."""
        values = iter(self.values)
        for key, count in zip(self.keys, repeat(1) if self.counts is None else self.counts, strict=False):
            yield key, list(islice(values, count))


class WrittenRun(NamedTuple):
    """A written run: its stored length, records and CRC-32C, and the memory that its largest frame takes."""

    piece: Piece
    frame_bytes_max: int


def frame_bytes(memory_bytes: int) -> int:
    """Return how much memory a frame should take if its task may use ``memory_bytes``."""
    return min(max(memory_bytes // 256, limits.FRAME_BYTES_MIN), limits.FRAME_BYTES_MAX)


def write_run(batches: Iterable[Sequence[Pair]], write: Callable[[bytes], object], *, frame_bytes: int) -> WrittenRun:
    """Write the pairs of ``batches``, which must be in key order, as one run.

    Calls ``write`` twice for each frame: with the header and with the body. A frame takes at most ``frame_bytes`` of
    memory when it is read (and fewer bytes before compression), unless a single pair takes more.

    Raises:
        RequestError: the run is longer than the shuffle index can record.
    """
    frames = _FrameWriter(write, frame_bytes)
    for pairs in batches:
        frames.add(pairs)
        del pairs  # before the next batch is made: both may be large
    frames.flush()
    return WrittenRun(Piece(frames.length_bytes, frames.records, frames.crc32c), frames.frame_bytes_max)


def read_run(blocks: Iterable[bytes]) -> Iterator[Frame]:
    """Yield the frames of a run. ``blocks`` are its bytes, cut at any place.

    Raises:
        InvariantError: the bytes are not a run: a checksum differs, or they end inside a frame.
    """
    decompress = zstandard.ZstdDecompressor().decompress
    pending = bytearray()
    header: tuple[int, ...] | None = None
    for block in blocks:
        pending += block
        while len(pending) >= (_HEADER.size if header is None else header[0]):
            if header is None:
                header = _checked_header(_take(pending, _HEADER.size))
            else:
                yield _decode_frame(header, [_take(pending, header[0])], decompress)
                header = None
    if pending or header:
        raise InvariantError("the run is incomplete: it ends inside a frame")


def _take(pending: bytearray, length_bytes: int) -> bytes:
    """Remove and return the first ``length_bytes``."""
    taken = bytes(memoryview(pending)[:length_bytes])
    del pending[:length_bytes]
    return taken


class _FrameWriter:
    """Collects pairs. Writes a frame when one is full, and on `flush`."""

    def __init__(self, write: Callable[[bytes], object], frame_bytes: int) -> None:
        self._write = write
        self._frame_bytes = frame_bytes
        self._encode = Encoder().encode
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._keys: list[Key] = []
        self._values: list[Value] = []
        self._size_bytes = 0  # memory that the collected pairs take
        self.length_bytes = self.records = self.crc32c = self.frame_bytes_max = 0

    def add(self, pairs: Sequence[Pair]) -> None:
        """Add ``pairs``, a slice at a time; halve a slice that is larger than a frame."""
        start, stop = 0, _ADDED_PAIRS
        while added := pairs[start:stop]:
            keys, values = zip(*added, strict=True)
            size_bytes = column_bytes(keys) + column_bytes(values) + PAIR_BYTES * len(added)
            if size_bytes > self._frame_bytes and len(added) > 1:
                stop = start + len(added) // 2
                continue
            if self._size_bytes + size_bytes > self._frame_bytes:
                self.flush()
            self._keys += keys
            self._values += values
            self._size_bytes += size_bytes
            start, stop = start + len(added), start + len(added) + _ADDED_PAIRS
            del added, keys, values
            if self._size_bytes >= self._frame_bytes:
                self.flush()  # before the next pair is made: it may be large, too

    def flush(self) -> None:
        """Write the collected pairs, if there are any, as a frame."""
        if not self._keys:
            return
        if self._size_bytes > limits.PIECE_BYTES_MAX:
            raise RequestError("a single value of more than 4 GiB cannot cross the shuffle: yield smaller values")
        keys, counts, records = self._keys, None, len(self._values)
        if len(set(keys)) < records:
            keys, counts = map(list, zip(*((key, sum(1 for _ in same)) for key, same in groupby(keys)), strict=True))
            self._size_bytes -= column_bytes(self._keys) - column_bytes(keys)
        groups, content = len(keys), self._encode([keys, counts, self._values])
        if self._size_bytes > limits.FRAME_BYTES_MAX:
            self._encode = Encoder().encode  # frees the old encoder's buffer, which is as large as this frame
        self._keys, self._values = keys, _ = [], []
        self._write_frame(content, groups, records)
        self.records += records
        self.frame_bytes_max = max(self.frame_bytes_max, self._size_bytes)
        self._size_bytes = 0

    def _write_frame(self, content: bytes, groups: int, records: int) -> None:
        content_bytes = len(content)
        body = self._compress(content)
        del content  # so memory holds at most two copies of a large value besides the value itself
        crc32c = google_crc32c.value(body)
        packed = _HEADER.pack(len(body), content_bytes, self._size_bytes, groups, records, crc32c, 0)
        checked = packed[:_CHECKED_BYTES]
        header = checked + google_crc32c.value(checked).to_bytes(4, "little")
        self.length_bytes += len(header) + len(body)
        if self.length_bytes > limits.PIECE_BYTES_MAX:
            raise RequestError(
                "one map task wrote more than 4 GiB for one partition: use smaller splits (--split-size) or more "
                "reducers (--reducers)"
            )
        for data in (header, body):
            self._write(data)
            self.crc32c = google_crc32c.extend(self.crc32c, data)


def _checked_header(packed: bytes) -> tuple[int, ...]:
    header = _HEADER.unpack(packed)
    if google_crc32c.value(packed[:_CHECKED_BYTES]) != header[-1]:
        raise InvariantError("the header of a frame is damaged: its CRC-32C differs")
    return header


def _decode_frame(header: tuple[int, ...], bodies: list[bytes], decompress: Callable[..., bytes]) -> Frame:
    """Decode the only item of ``bodies``. It is popped, so its memory is freed before the content is decoded."""
    _, content_bytes, size_bytes, groups, records, crc32c, _ = header
    body = bodies.pop()
    if google_crc32c.value(body) != crc32c:
        raise InvariantError("the body of a frame is damaged: its CRC-32C differs")
    if content_bytes > len(body) * _EXPANSION_MAX:
        raise InvariantError(f"a frame of {len(body)} bytes claims {content_bytes} bytes of content")
    if content_bytes + PAIR_BYTES * records > size_bytes:
        raise InvariantError(f"a frame takes more memory than the {size_bytes} bytes that its header says")
    try:
        if zstandard.frame_content_size(body) != content_bytes:
            raise InvariantError("the content of a frame is not as long as its header says")
        content = decompress(body, max_output_size=content_bytes)
    except zstandard.ZstdError as error:
        raise InvariantError(f"a frame cannot be decompressed: {error}") from error
    del body
    return _checked_frame(decode(content), groups, records, size_bytes)


def _checked_frame(columns: Any, groups: int, records: int, size_bytes: int) -> Frame:  # noqa: ANN401 - decoded bytes
    """Return ``columns`` as a frame, checked against its header."""
    if type(columns) is list and len(columns) == _COLUMNS:
        keys, counts, values = columns
        if (
            type(keys) is type(values) is list
            and len(keys) == groups
            and len(values) == records
            and len(kinds := set(map(type, keys))) == 1
            and kinds <= _KEY_TYPES
            and (groups == records if counts is None else _are_counts(counts, groups, records))
        ):
            return Frame(keys, counts, values, size_bytes)
    raise InvariantError("the content of a frame does not match its header")


def _are_counts(counts: Any, groups: int, records: int) -> bool:  # noqa: ANN401 - decoded bytes
    return (
        type(counts) is list
        and len(counts) == groups
        and set(map(type, counts)) == {int}
        and min(counts) > 0
        and sum(counts) == records
    )
