"""The records of one map task: over its splits in order, through whatever format and compression each one has."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Protocol

from s3mr.errors import InvariantError
from s3mr.formats.compressed import decompress, is_compressed
from s3mr.formats.registry import Batch, Format, SplittableFormat
from s3mr.model.plan import MapTask, Split


class Streams(Protocol):
    """The part of the `Inputs` port that reading needs."""

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` of ``source``."""


def is_splittable(source: str, chosen: Format) -> bool:
    """Whether a part of ``source`` can be read without what stands before it."""
    return isinstance(chosen, SplittableFormat) and not is_compressed(source)


class TaskReader:
    """Iterates ``(source, record)`` over all splits of a task, once.

    ``consumed_bytes`` counts the bytes of the input objects (compressed where they are) that the records so far
    account for. After the last record, its sum over all tasks of a job is the size of all inputs.
    """

    def __init__(self, inputs: Streams, task: MapTask, chosen: Format) -> None:
        self._inputs = inputs
        self._task = task
        self._format = chosen
        self.consumed_bytes = 0

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for split in self._task.splits:
            source = split.source
            for records, size_bytes in self._batches(split):
                self.consumed_bytes += size_bytes
                for record in records:
                    yield source, record

    def _batches(self, split: Split) -> Iterator[Batch]:
        if is_compressed(split.source):
            return self._decompressed(split)
        if isinstance(self._format, SplittableFormat):
            return self._format.split_records(partial(self._read, split), split)
        return self._format.records(self._whole(split))

    def _decompressed(self, split: Split) -> Iterator[Batch]:
        content = decompress(self._whole(split), source=split.source)
        for records, _decompressed_bytes in self._format.records(content):
            yield Batch(records, 0)
        yield Batch((), split.size_bytes)  # `decompress` has read all of it, or raised

    def _whole(self, split: Split) -> Iterable[bytes]:
        if not split.whole:
            raise InvariantError(f"planned in splits, but can only be read whole: {split.source}")
        return self._read(split, 0, split.size_bytes)

    def _read(self, split: Split, start: int, stop: int) -> Iterator[bytes]:
        if start == stop:
            return iter(())
        return self._inputs.stream(split.source, etag=split.etag, start=start, stop=stop)
