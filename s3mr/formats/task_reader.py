"""The records of one map task: over its splits in order, through whatever format and compression each one has."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from s3mr import limits
from s3mr.errors import InvariantError, RequestError, TransientError
from s3mr.formats.gzip_stream import decompress, is_compressed
from s3mr.formats.registry import Batch, Format, SplittableFormat
from s3mr.model.plan import MapTask, Split
from s3mr.quantities import format_size


class Streams(Protocol):
    """The part of the `Inputs` port that reading needs."""

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` of ``source``."""


def splittable_by(chosen: Format) -> Callable[[str], bool]:
    """Return whether a part of a source can be read without what stands before it."""
    if isinstance(chosen, SplittableFormat):  # looked at once: there may be a million sources
        return lambda source: not is_compressed(source)
    return lambda _source: False


class TaskReader:
    """Iterates ``(source, records)``, a batch at a time, over all splits of a task, once.

    ``consumed_bytes`` counts the bytes of the input objects (compressed where they are) that the records so far
    account for. After the last record, its sum over all tasks of a job is the size of all inputs.

    A format may take ``record_bytes_max`` before it gives records back, and no more: one record of gigabytes, or a
    small gzip that grows into one, is refused before it fills the memory.
    """

    def __init__(
        self, inputs: Streams, task: MapTask, chosen: Format, *, record_bytes_max: int = limits.PIECE_BYTES_MAX
    ) -> None:
        self._inputs = inputs
        self._task = task
        self._format = chosen
        self._record_bytes_max = record_bytes_max
        self._held_bytes = 0  # of what the format has taken, since it gave records back
        self.consumed_bytes = 0

    def __iter__(self) -> Iterator[tuple[str, Sequence[str]]]:
        for split in self._task.splits:
            self._held_bytes = 0
            for records, size_bytes in self._batches(split):
                self._held_bytes = 0
                self.consumed_bytes += size_bytes
                yield split.source, records

    def _batches(self, split: Split) -> Iterator[Batch]:
        if is_compressed(split.source):
            return self._decompressed(split)
        if isinstance(self._format, SplittableFormat):
            return self._format.split_records(partial(self._read_bounded, split), split)
        return self._format.records(self._bounded(self._whole(split), split.source, 0))

    def _decompressed(self, split: Split) -> Iterator[Batch]:
        content = self._bounded(decompress(self._whole(split), source=split.source), split.source, 0)
        for records, _decompressed_bytes in self._format.records(content):
            yield Batch(records, 0)
        yield Batch((), split.size_bytes)  # `decompress` has read all of it, or raised

    def _whole(self, split: Split) -> Iterable[bytes]:
        if not split.whole:
            raise InvariantError(f"planned in splits, but can only be read whole: {split.source}")
        return self._read(split, 0, split.size_bytes)

    def _read_bounded(self, split: Split, start: int, stop: int) -> Iterator[bytes]:
        return self._bounded(self._read(split, start, stop), split.source, start)

    def _bounded(self, blocks: Iterable[bytes], source: str, at: int) -> Iterator[bytes]:
        """Pass on ``blocks``, which begin at byte ``at``, for as long as records come of them.

        The first and the last block of a record are not all its own: so much is let through besides.
        """
        for block in blocks:
            at += len(block)
            self._held_bytes += len(block)
            if self._held_bytes > self._record_bytes_max + 2 * limits.BLOCK_BYTES:
                content = "its decompressed content" if is_compressed(source) else "it"
                raise RequestError(
                    f"a record of more than {format_size(self._record_bytes_max)} in {source}, at about byte "
                    f"{at - self._held_bytes:,} of {content}: a record may take a quarter of --memory"
                )
            yield block

    def _read(self, split: Split, start: int, stop: int) -> Iterator[bytes]:
        if start == stop:
            return iter(())
        return _whole_range(
            self._inputs.stream(split.source, etag=split.etag, start=start, stop=stop), split, start, stop
        )


def _whole_range(blocks: Iterable[bytes], split: Split, start: int, stop: int) -> Iterator[bytes]:
    """Yield ``blocks``; raise at their end if they were fewer bytes than asked: no format can know what is missing."""
    at = start
    for block in blocks:
        at += len(block)
        yield block
    if at != stop:
        raise TransientError(f"reading {split.source} broke off at byte {at} of {stop}")
