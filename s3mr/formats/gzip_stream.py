"""Decompress gzip as a stream, in bounded memory. It accepts several members and zero padding (RFC 1952)."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from s3mr import limits
from s3mr.errors import RequestError

_GZIP_WBITS: Final = 31  # zlib: expect a gzip header and trailer, use the largest window
_BLOCK_BYTES: Final = limits.MIB


def is_compressed(source: str) -> bool:
    """Whether the name of the source ends in ``.gz``."""
    return source.endswith(".gz")


def decompress(blocks: Iterable[bytes], *, source: str) -> Iterator[bytes]:
    """Yield the decompressed content of ``blocks`` in blocks of at most 1 MiB. Empty input has empty content.

    Raises:
        RequestError: the data is not gzip, is damaged, or is truncated.
    """
    member = None  # None at the start, between members, and in the padding
    begun = False
    try:
        for block in blocks:
            data = block
            while data:
                if member is None:
                    data = data.lstrip(b"\0") if begun else data
                    if not data:
                        break
                    member, begun = zlib.decompressobj(_GZIP_WBITS), True
                piece = member.decompress(data, _BLOCK_BYTES)
                while piece:  # one input block can expand to many output blocks
                    yield piece
                    piece = b"" if member.eof else member.decompress(member.unconsumed_tail, _BLOCK_BYTES)
                data = member.unused_data
                member = None if member.eof else member
    except zlib.error as error:
        raise RequestError(f"truncated or corrupt gzip: {source} ({error})") from error
    if member is not None:
        raise RequestError(f"truncated or corrupt gzip: {source} (it ends in the middle of a member)")
