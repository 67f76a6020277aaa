"""The epoch fence: of several ticks on one job, only the one that wrote last may write again."""

from s3mr.model.job import JobState
from s3mr.ports import JobStore


class FencedError(Exception):
    """Another tick leads this job now; the call ends quietly. Not an `S3mrError`: nobody but tick may see it."""


class Lead:
    """One tick's right to write one job.

    Every write raises the epoch, on condition that nobody has since this tick last read or wrote the job. So a tick
    that pauses and wakes up after another has begun cannot write; nor can one that has read what another was still
    about to change; nor does a write of one's own count that arrives after a later one.
    """

    def __init__(self, store: JobStore, job: JobState, *, writer: str) -> None:
        """``writer`` is drawn anew for each lead: what two of them write is never the same, so only one can lead."""
        self._store = store
        self._writer = writer
        self.job = job

    def renew(self) -> JobState:
        """Write the job as it is, so that older ticks cannot write any more.

        Raises:
            FencedError: another tick has taken over.
        """
        return self.save(self.job)

    def save(self, following: JobState) -> JobState:
        """Write the job as it follows from `job`, by one of `s3mr.coordinator.transitions`.

        Raises:
            FencedError: another tick has taken over.
        """
        changed = JobState.model_validate({**dict(following), "epoch": self.job.epoch + 1, "writer": self._writer})
        if not self._store.replace(changed, epoch=self.job.epoch):
            raise FencedError
        self.job = changed
        return changed
