"""Fence ticks by epoch: of several ticks on one job, only the one that wrote last may write again."""

from s3mr.model.job import JobState
from s3mr.ports import JobStore


class FencedError(Exception):
    """Another tick leads this job now, so this one ends quietly. Not an `S3mrError`: only tick may see it."""


class Lead:
    """One tick's right to write one job.

    Every write raises the epoch, on condition that the epoch has not changed since this tick last read or wrote the
    job. So a tick cannot write if it wakes up after another has begun, or if another changed what it read. A tick's own
    write is void if it arrives after a later one.
    """

    def __init__(self, store: JobStore, job: JobState, *, writer: str) -> None:
        """``writer`` is a new random id for each lead. Two leads never write the same bytes, so only one can lead."""
        self._store = store
        self._writer = writer
        self.job = job

    def renew(self) -> JobState:
        """Write the job unchanged, so that older ticks cannot write any more.

        Raises:
            FencedError: another tick has taken over.
        """
        return self.save(self.job)

    def save(self, following: JobState) -> JobState:
        """Write ``following``, which a function of `s3mr.coordinator.transitions` made from `job`.

        Raises:
            FencedError: another tick has taken over.
        """
        changed = JobState.model_validate({**dict(following), "epoch": self.job.epoch + 1, "writer": self._writer})
        if not self._store.replace(changed, epoch=self.job.epoch):
            raise FencedError
        self.job = changed
        return changed
