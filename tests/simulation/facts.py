"""The watcher's knowledge of a simulated world, and the first violation.

The code under test does not know the watcher. The numbers of invariants are those of the design's section 8.
"""

from s3mr.adapters.memory.memory_data import MemoryFolder
from s3mr.adapters.memory.memory_stores import MemoryJobStore, MemoryObjectStore
from s3mr.model import object_names
from s3mr.model.job import JobState, Phase
from s3mr.model.manifest import Manifest, unpack_pieces
from tests.simulation.history import History, Task
from tests.simulation.loop import Loop


class Facts:
    """The whole state, at any time."""

    def __init__(
        self, loop: Loop, table: MemoryJobStore, bucket: MemoryObjectStore, folder: MemoryFolder, history: History
    ) -> None:
        self.violation: str | None = None
        self.loop, self.table, self.bucket, self.folder, self.history = loop, table, bucket, folder, history
        self.jobs: dict[str, JobState] = {}  # the last observed version
        self.erased: set[str] = set()
        self.winners: dict[Task, Manifest] = {}
        self.won_at: dict[Task, float] = {}

    def broken(self, invariant: str, what: str) -> None:
        """Keep a violation, if it is the first."""
        self.violation = self.violation or f"{invariant}: {what}"

    def check(self, holds: bool, invariant: str, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Keep a violation unless the invariant holds."""
        if not holds:
            self.broken(invariant, what)

    def won(self, task: Task, manifest: Manifest) -> None:
        """Record a winner."""
        self.winners[task] = manifest
        self.won_at[task] = self.loop.now

    def winning(self, job_id: str, phase: Phase) -> list[Manifest]:
        """Return the winners of a phase, in order of arrival."""
        return [one for key, one in self.winners.items() if key[:2] == (job_id, phase)]

    def parts_of(self, job: JobState) -> dict[str, str]:
        """Return the identity that each part of the job must have."""
        mine = (one.part for key, one in self.winners.items() if key[0] == job.spec.job_id)
        return {part.name: f"{job.spec.job_id}/{part.name}/{part.worker}" for part in mine if part is not None}

    def foreign_parts(self, job: JobState) -> list[str]:
        """Return the other jobs with parts in a job's output, if they claim it under the same name."""
        found = (identity.split("/")[0] for identity in self.folder.identities.values())
        others = {job_id for job_id in found if job_id != job.spec.job_id}
        return sorted(one for one in others if self.jobs[one].spec.output == job.spec.output)

    def check_all_won(self, job: JobState) -> None:
        """S3: every task has a winner."""
        for phase in (Phase.MAP, job.spec.last_phase):
            for task in range(job.spec.tasks(phase)):
                self.check((job.spec.job_id, phase, task) in self.winners, "S3", f"{phase} {task} has no winner")

    def check_stored(self, job: JobState, manifest: Manifest) -> None:
        """S3: the objects of a winner exist, unless a fault has removed them."""
        if self.history.damages:
            return
        self.check(self.is_stored(job, manifest), "S3", f"objects of {manifest.phase} {manifest.task} are not there")
        part = manifest.part
        if part is not None and job.phase.working:
            self.check(part.upload in self.folder.uploads, "S3", f"the upload of winner {part.name} is not there")

    def is_stored(self, job: JobState, manifest: Manifest) -> bool:
        """Return whether the objects of a map winner exist, with their sizes."""
        bodies = ((self.bucket.objects.get(key), size_bytes) for key, size_bytes in _stored(job, manifest))
        return all(body is not None and len(body) == size_bytes for body, size_bytes in bodies)


def _stored(job: JobState, manifest: Manifest) -> list[tuple[str, int]]:
    """Return the keys and sizes of a map winner's intermediate objects."""
    lengths = [piece.length_bytes for piece in unpack_pieces(manifest.pieces or b"")]
    name = object_names.packed_pieces(job.spec.job_id, worker=manifest.worker, map_task=manifest.task)
    if job.spec.layout == "packed":
        return [(name, sum(lengths))] if any(lengths) else []
    return [(f"{name}-{number}", length) for number, length in enumerate(lengths) if length]
