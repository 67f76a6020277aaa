r"""Read lines of text in splits. A line belongs to the split in which it starts.

Only ``\n`` and ``\r\n`` end a line. Blank lines are records. A byte order mark is kept. Bytes that are not valid UTF-8
become surrogate escapes. A split in the middle of an object looks for its first line from the byte before it. It reads
past its end only to finish its last line.

`BlockFormat` is for jobs whose map is cheaper than a function call: it yields blocks of lines, which map splits itself.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from s3mr import limits
from s3mr.formats.registry import Batch, Read
from s3mr.model.plan import Split

_WINDOW_BYTES: Final = 64 * limits.KIB  # first read past a split's end
_WINDOW_GROWTH: Final = 4


class TextFormat:
    """One record per line."""

    name = "text"
    _batch_bytes_min = 0

    def records(self, blocks: Iterable[bytes]) -> Iterator[Batch]:
        """Yield the lines of a whole object."""
        whole: list[bytes] = []  # complete lines
        unfinished: list[bytes] = []  # the start of one line, in blocks that are joined only once: there may be many
        held_bytes = 0
        for block in blocks:
            held_bytes += len(block)
            if cut := block.rfind(b"\n") + 1:
                whole += (*unfinished, block[:cut])
                unfinished.clear()
            if cut < len(block):
                unfinished.append(block[cut:])
            if whole and held_bytes >= self._batch_bytes_min:
                yield self._batch(_joined(whole))
                held_bytes = sum(map(len, unfinished))
        if last := whole + unfinished:
            whole.clear()
            unfinished.clear()
            yield self._batch(_joined(last))

    def split_records(self, read: Read, split: Split) -> Iterator[Batch]:
        """Yield the lines that start in ``split``."""
        owned = _owned(read, split)
        for first in owned:
            if split.start:
                yield Batch((), 0)  # tells the task reader that the bytes before the first line are not held
            yield from self.records(chain((first,), owned))

    def _batch(self, data: bytes) -> Batch:
        """Split ``data``, which is whole lines. It can be decoded at once: newlines are ASCII."""
        records = _decoded(data).split("\n")
        if not records[-1]:
            records.pop()
        return Batch(records, len(data))


class BlockFormat(TextFormat):
    """One record per few MiB of whole lines. Each record ends in a newline, except maybe the last of an object."""

    name = "block"
    _batch_bytes_min = 4 * limits.MIB

    def _batch(self, data: bytes) -> Batch:
        return Batch((_decoded(data),), len(data))


def _joined(blocks: list[bytes]) -> bytes:
    """Join ``blocks``, and empty the list so that a large line is not kept in memory twice."""
    data = b"".join(blocks)
    blocks.clear()
    return data


def _decoded(data: bytes) -> str:
    text = data.decode("utf-8", "surrogateescape")
    return text.replace("\r\n", "\n") if "\r" in text else text  # a search for one character is much faster


def _owned(read: Read, split: Split) -> Iterator[bytes]:
    """Yield the bytes of the lines that start in ``split``."""
    last = b""
    for block in _from_first_line(read, split):
        last = block or last
        yield block
    if last and not last.endswith(b"\n"):
        yield from _until_newline(read, split.stop, split.size_bytes)


def _from_first_line(read: Read, split: Split) -> Iterator[bytes]:
    if split.start == 0:
        yield from read(0, split.stop)
        return
    blocks = read(split.start - 1, split.stop)
    for block in blocks:
        newline = block.find(b"\n")
        if newline >= 0:  # if it is the last byte of the split, the next line belongs to the next split
            yield block[newline + 1 :]
            yield from blocks
            return


def _until_newline(read: Read, start: int, size_bytes: int) -> Iterator[bytes]:
    """Yield the bytes from ``start`` through the next newline, or to the end of the object."""
    window_bytes = _WINDOW_BYTES
    while start < size_bytes:
        stop = min(start + window_bytes, size_bytes)
        for block in read(start, stop):
            cut = block.find(b"\n") + 1
            if cut:
                yield block[:cut]
                return
            yield block
        start, window_bytes = stop, window_bytes * _WINDOW_GROWTH
