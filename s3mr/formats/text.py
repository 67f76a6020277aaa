r"""Lines of text, read in splits: a line belongs to the split in which it starts.

``\n`` or ``\r\n`` ends a line and nothing else does; blank lines are records; a byte order mark stays. A split that
does not begin the object looks for its first line start from the byte before it, and reads past its end only while
its last line is unfinished. Bytes that are no UTF-8 become surrogate escapes.

A job whose map costs less than a call of it may take blocks of lines instead, and cut them itself, all at once.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from s3mr import limits
from s3mr.formats.registry import Batch, Read
from s3mr.model.plan import Split

_WINDOW_BYTES: Final = 64 * limits.KIB  # the first look past a split's end
_WINDOW_GROWTH: Final = 4


class TextFormat:
    """One record a line."""

    name = "text"
    _batch_bytes_min = 0

    def records(self, blocks: Iterable[bytes]) -> Iterator[Batch]:
        """Yield the lines of a whole object."""
        whole: list[bytes] = []  # lines that are, …
        unfinished: list[bytes] = []  # … and one that is not; joined once: it may lie in many blocks
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
                yield Batch((), 0)  # what stands before the first line is held no more
            yield from self.records(chain((first,), owned))

    def _batch(self, data: bytes) -> Batch:
        """Cut whole lines. Newlines are ASCII: no decoding reaches across one."""
        records = _decoded(data).split("\n")
        if not records[-1]:
            records.pop()
        return Batch(records, len(data))


class BlockFormat(TextFormat):
    """One record some MiB of whole lines; each but an object's last ends in a newline."""

    name = "block"
    _batch_bytes_min = 4 * limits.MIB

    def _batch(self, data: bytes) -> Batch:
        return Batch((_decoded(data),), len(data))


def _joined(blocks: list[bytes]) -> bytes:
    """Join ``blocks`` and empty the list: a large line is not held twice for longer than needed."""
    data = b"".join(blocks)
    blocks.clear()
    return data


def _decoded(data: bytes) -> str:
    text = data.decode("utf-8", "surrogateescape")
    return text.replace("\r\n", "\n") if "\r" in text else text  # to look for one character is much faster


def _owned(read: Read, split: Split) -> Iterator[bytes]:
    """Yield the bytes from the split's first line start to the end of its last line."""
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
        if newline >= 0:  # as the split's last byte it starts a line of the next one: nothing follows here
            yield block[newline + 1 :]
            yield from blocks
            return


def _until_newline(read: Read, start: int, size_bytes: int) -> Iterator[bytes]:
    """Yield what follows from ``start`` up to and with the next newline, or the object's end."""
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
