"""The whole object as one record. It is held in memory: for objects that fit there."""

from collections.abc import Iterable, Iterator

from s3mr.formats.registry import Batch


class WholeFormat:
    """One record an object; an empty object is one empty record. Bytes that are no UTF-8 become surrogate escapes."""

    name = "whole"

    def records(self, blocks: Iterable[bytes]) -> Iterator[Batch]:
        """Yield the object as one record."""
        data = b"".join(blocks)
        yield Batch((data.decode("utf-8", "surrogateescape"),), len(data))
