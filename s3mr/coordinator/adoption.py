"""Adopt the map winners of an ended job in the new job that replaces it, instead of running their tasks again."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from s3mr.batching import batched
from s3mr.model import object_names
from s3mr.model.job import JobSpec, JobState, Phase
from s3mr.model.manifest import Manifest, unpack_pieces
from s3mr.ports import JobStore, ObjectStore, Parallel

ADOPT_BATCH: Final = 100  # winners adopted together
_WIDTH: Final = 16  # requests sent at once


@dataclass(frozen=True, slots=True)
class Adoption:
    """Copies the objects of each winner that still match its manifest, and then commits the manifest."""

    store: JobStore
    objects: ObjectStore
    parallel: Parallel

    def adopt(self, job: JobState) -> JobState:
        """Adopt the winners of the old job, and return the new state of the job. Idempotent.

        The tasks before the first task without a winner count as launched and done, so no tick checks them.
        """
        old = self.store.read_job(job.spec.resumed_from or "")
        if old is None or job.spec.last_phase is Phase.MAP:  # its parts were uploads, and have been aborted
            return job
        done = 0
        for batch in batched(self.store.all_manifests(old, Phase.MAP), ADOPT_BATCH):
            for task in self._adopt_batch(old, job, batch):
                done += task == done
        if not done:
            return job
        begun = job.model_copy(update={"cursor": done, "done": done, "epoch": job.epoch + 1})
        return begun if self.store.replace(begun, epoch=job.epoch) else job

    def _adopt_batch(self, old: JobState, job: JobState, winners: Sequence[Manifest]) -> list[int]:
        """Adopt ``winners``. Return the tasks that have a winner now, in order."""
        adopted = self.store.manifests(job, Phase.MAP, [one.task for one in winners])
        wanted = [one for one in winners if one.task not in adopted]
        copied = self.parallel.map(self._copy, _copies(old.spec, job.spec, wanted), width=_WIDTH)
        missing = {task for task, whole in copied if not whole}
        whole = [one for one in wanted if one.task not in missing]
        for _ in self.parallel.map(partial(self.store.commit, job), whole, width=_WIDTH):
            pass  # lost: the task has a winner already
        return [one.task for one in winners if one.task not in missing]

    def _copy(self, copy: "_Copy") -> tuple[int, bool]:
        whole = self.objects.copy(copy.source, copy.target) and self.objects.size(copy.target) == copy.size_bytes
        return copy.task, whole


class _Copy(NamedTuple):
    task: int
    source: str
    target: str
    size_bytes: int


def _copies(old: JobSpec, new: JobSpec, winners: Iterable[Manifest]) -> Iterator[_Copy]:
    for one in winners:
        for (source, size_bytes), (target, _) in zip(_stored(old, one), _stored(new, one), strict=True):
            yield _Copy(one.task, source, target, size_bytes)


def _stored(spec: JobSpec, manifest: Manifest) -> Iterator[tuple[str, int]]:
    """Yield the keys and sizes of the objects that a map winner stored. Empty pieces have no object."""
    lengths = [piece.length_bytes for piece in unpack_pieces(manifest.pieces or b"")]
    if spec.layout == "packed":
        if any(lengths):
            yield object_names.packed_pieces(spec.job_id, worker=manifest.worker, map_task=manifest.task), sum(lengths)
        return
    for partition, length_bytes in enumerate(lengths):
        if length_bytes:
            key = object_names.split_piece(
                spec.job_id, worker=manifest.worker, map_task=manifest.task, partition=partition
            )
            yield key, length_bytes
