"""Pass the barrier between map and reduce: read the winners, balance their books, write the shuffle index.

Everything written here depends only on the winning manifests, which never change. If a tick dies half-way, the next
one writes the same bytes again. `s3mr.shuffle.shuffle_index` documents the layout of the index.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from s3mr import limits
from s3mr.batching import batched
from s3mr.errors import InvariantError
from s3mr.model import object_names
from s3mr.model.job import JobSpec, JobState, Phase
from s3mr.model.manifest import Books, Manifest
from s3mr.model.statistics import Counters
from s3mr.ports import JobStore, ObjectStore
from s3mr.shuffle.key_types import merge_types
from s3mr.shuffle.shuffle_index import encode_segment

_BOOKS = struct.Struct("<QI")


def write_shuffle_index(
    job: JobState, store: JobStore, objects: ObjectStore, *, scratch: Callable[[], BinaryIO]
) -> Counters:
    """Write the index segments and the books of a finished map phase. Return the sum of the winners' counters.

    Raises:
        UserCodeError: tasks yielded keys of different types.
        InvariantError: the books do not balance.
    """
    spec = job.spec
    books = [Books()] * spec.reducers
    audit = MapAudit(spec)
    winners = audit.watch(store.all_manifests(job, Phase.MAP))
    for segment, manifests in enumerate(batched(winners, limits.INDEX_SEGMENT_TASKS)):
        entries = [(one.worker, one.pieces or b"") for one in manifests]
        columns = encode_segment(entries, layout=spec.layout, reducers=spec.reducers)
        with scratch() as body:
            for partition, (column, written) in enumerate(columns):
                body.write(column)
                books[partition] += written
            objects.put(object_names.index_segment(spec.job_id, segment), body)
    counters = audit.balance()
    objects.put(
        object_names.index_books(spec.job_id), b"".join(_BOOKS.pack(one.records, one.checksum) for one in books)
    )
    return counters


def read_books(spec: JobSpec, objects: ObjectStore) -> Sequence[Books]:
    """Return, for each partition, the books that its reducer must match.

    Raises:
        InvariantError: the books are damaged.
    """
    packed = b"".join(objects.stream(object_names.index_books(spec.job_id)))
    if len(packed) != spec.reducers * _BOOKS.size:
        raise InvariantError(
            f"the books of {spec.reducers} partitions have {len(packed)} bytes, not {spec.reducers * _BOOKS.size}"
        )
    return [Books(records=records, checksum=checksum) for records, checksum in _BOOKS.iter_unpack(packed)]


class MapAudit:
    """Adds up the counters of map winners as you iterate over them, and compares the sum with the plan."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        self._seen = 0
        self._key_type: str | None = None
        self._counters = Counters()

    def watch(self, winners: Iterable[Manifest]) -> Iterator[Manifest]:
        """Yield ``winners`` unchanged, and add them up.

        Raises:
            UserCodeError: two of them have keys of different types.
        """
        for one in winners:
            self._seen += 1
            self._counters += one.counters
            if one.key_type is not None:
                self._key_type = one.key_type if self._key_type is None else merge_types(self._key_type, one.key_type)
            yield one

    def balance(self) -> Counters:
        """Return the sum. Call it after all winners were yielded.

        Raises:
            InvariantError: a task has no winner, or bytes of the input were read twice or not at all.
        """
        spec = self._spec
        if self._seen != spec.map_tasks:
            raise InvariantError(f"{self._seen} of {spec.map_tasks} map tasks have a winner at the barrier")
        if self._counters.bytes_in != spec.input_bytes:
            raise InvariantError(
                f"map tasks read {self._counters.bytes_in} bytes of inputs that have {spec.input_bytes} bytes"
            )
        return self._counters
