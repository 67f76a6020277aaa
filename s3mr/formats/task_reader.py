"""Read the records of one map task: all its splits in order, decompressed and decoded by the job's format."""

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
    """The part of the `Inputs` port that a task reader needs."""

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` of ``source``."""


def splittable_by(chosen: Format) -> Callable[[str], bool]:
    """Return a function that says whether a source can be read from the middle."""
    if isinstance(chosen, SplittableFormat):  # checked only once: there may be a million sources
        return lambda source: not is_compressed(source)
    return lambda _source: False


class TaskReader:
    """Iterates over all splits of a task, once, in batches ``(source, records)``.

    ``consumed_bytes`` counts the bytes of the input objects (as stored, so maybe compressed) that the records so far
    come from. After the last record, its sum over all tasks of a job is the size of all inputs.

    A format may read at most ``record_bytes_max`` before it yields records. So a record of gigabytes, or a small gzip
    that expands to one, is refused before it fills the memory.
    """

    def __init__(
        self, inputs: Streams, task: MapTask, chosen: Format, *, record_bytes_max: int = limits.PIECE_BYTES_MAX
    ) -> None:
        self._inputs = inputs
        self._task = task
        self._format = chosen
        self._record_bytes_max = record_bytes_max
        self._held_bytes = 0  # read by the format since it last yielded records
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
        yield Batch((), split.size_bytes)  # `decompress` has read the whole object, or raised

    def _whole(self, split: Split) -> Iterable[bytes]:
        if not split.whole:
            raise InvariantError(f"{split.source} was planned in splits, but can only be read whole")
        return self._read(split, 0, split.size_bytes)

    def _read_bounded(self, split: Split, start: int, stop: int) -> Iterator[bytes]:
        return self._bounded(self._read(split, start, stop), split.source, start)

    def _bounded(self, blocks: Iterable[bytes], source: str, at: int) -> Iterator[bytes]:
        """Yield ``blocks``, which start at byte ``at``, while the format turns them into records.

        A record can start inside its first block and end inside its last one, so two more blocks are allowed.
        """
        for block in blocks:
            at += len(block)
            self._held_bytes += len(block)
            if self._held_bytes > self._record_bytes_max + 2 * limits.BLOCK_BYTES:
                content = "its decompressed content" if is_compressed(source) else "it"
                raise RequestError(
                    f"a record of more than {format_size(self._record_bytes_max)} in {source}, at about byte "
                    f"{at - self._held_bytes:,} of {content}: raise --memory (a record may take a quarter of it)"
                )
            yield block

    def _read(self, split: Split, start: int, stop: int) -> Iterator[bytes]:
        if start == stop:
            return iter(())
        return _whole_range(
            self._inputs.stream(split.source, etag=split.etag, start=start, stop=stop), split, start, stop
        )


def _whole_range(blocks: Iterable[bytes], split: Split, start: int, stop: int) -> Iterator[bytes]:
    """Yield ``blocks``; raise at the end if bytes are missing, because a format cannot notice that."""
    at = start
    for block in blocks:
        at += len(block)
        yield block
    if at != stop:
        raise TransientError(f"reading {split.source} was interrupted at byte {at} of {stop}")
