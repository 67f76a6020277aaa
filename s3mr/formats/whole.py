"""Read a whole object as one record. Use it for objects that fit in memory."""

from collections.abc import Iterable, Iterator

from s3mr.formats.registry import Batch


class WholeFormat:
    """One record per object, also if it is empty. Bytes that are not valid UTF-8 become surrogate escapes."""

    name = "whole"

    def records(self, blocks: Iterable[bytes]) -> Iterator[Batch]:
        """Yield the object as one record."""
        data = b"".join(blocks)
        yield Batch((data.decode("utf-8", "surrogateescape"),), len(data))
