"""Driving one job to its end: tick, woken by every report. Ctrl-C cancels it; a death leaves it to be taken up."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from s3mr import limits
from s3mr.adapters.aws.s3_uri import is_s3
from s3mr.coordinator.adoption import launch_again
from s3mr.coordinator.sweep import sweep_leftovers
from s3mr.coordinator.ticker import Ticker
from s3mr.errors import JobFailedError, MissingError, S3mrError, TransientError
from s3mr.local.cloud import Cloud
from s3mr.local.endpoint_service import until_over
from s3mr.local.worker_pool import WorkerPool
from s3mr.model import object_names
from s3mr.model.job import JobState, Phase
from s3mr.model.result import JobResult

TROUBLE_MAX = 8  # ticks in a row that may find a service busy
TROUBLE_PAUSE_S = 0.5


class JobView(Protocol):
    """What shows a job that runs on this machine."""

    @property
    def stderr(self) -> int | None:
        """The file descriptor to which user code prints; None: this process's own."""

    def show(self, job: JobState, running: int) -> None:
        """Show the job, of which ``running`` attempts run; called after every tick."""

    def take_output(self, result: JobResult) -> bool:
        """Use the output of a job that has no place for it; False: it is still needed afterwards."""


class NoView:
    """Shows nothing, and leaves the output to the caller."""

    stderr = None

    def show(self, job: JobState, running: int) -> None:
        """Show nothing."""

    def take_output(self, result: JobResult) -> bool:  # noqa: ARG002 - as `JobView` has it
        """Leave the output."""
        return False


@dataclass(frozen=True, slots=True)
class Run:
    """One job, and what it runs on from here."""

    cloud: Cloud
    pool: WorkerPool
    ticker: Ticker
    job_id: str
    view: JobView
    task_timeout_s: float = limits.TASK_TIMEOUT_S

    def to_its_end(self, begin: Callable[[], object], *, again: bool) -> JobState:
        """Have the job begun, or taken up ``again``, and drive it; return it when it is over.

        Raises:
            KeyboardInterrupt: it was cancelled; the text says what has become of it.
            S3mrError: its services are gone, or are busy for too long.
        """
        try:
            begin()  # from here the job's output is ours
            self.cloud.job_stands()
            return self._over(self._drive(again=again))
        except KeyboardInterrupt:
            self.pool.close()
            raise KeyboardInterrupt(self._give_up()) from None

    def failure(self, job: JobState) -> JobFailedError:
        """Return the error that tells why a job did not succeed."""
        story = job.failure.story() if job.failure else "the job was cancelled"
        return JobFailedError(f"{story}{self._advice('when that is mended, go on with')}")

    def _drive(self, *, again: bool) -> JobState:
        trouble, late = 0, False
        while True:
            try:
                if again:
                    launch_again(self._ticker(), self.job_id)
                    again = False
                left = self.pool.left
                tick = self._ticker().tick(self.job_id)
                self.view.show(tick.job, self.pool.running)
                late |= left > 0 and not tick.job.phase.working
                if tick.over:
                    self._leave_nothing(tick.job, late=late)
                    return tick.job
                self.pool.wait(tick.wait_s, enough=self._enough(tick.job))
                trouble = 0
            except S3mrError as error:
                self.cloud.check()
                trouble, late = trouble + 1, True
                if trouble > TROUBLE_MAX or not isinstance(error, TransientError):
                    raise self._stranded(error) from error
                self.cloud.stack.clock.sleep(TROUBLE_PAUSE_S)

    def _ticker(self) -> Ticker:
        """The coordinator, as far ahead of the workers as their pace asks for now."""
        queued = self.pool.pace.queued
        launcher = replace(self.ticker.launcher, waiting_s=limits.EVENT_AGE_S + queued * self.task_timeout_s)
        return replace(self.ticker, launcher=launcher, capacity=self.pool.pace.workers * queued, holds=self.job_id)

    def _enough(self, job: JobState) -> int:
        """With how many attempts the workers have enough to do; when none is left to launch, all must come back."""
        unlaunched = job.phase.working and job.cursor < job.spec.tasks(job.phase)
        return self.pool.pace.enough if unlaunched else 0

    def _leave_nothing(self, job: JobState, *, late: bool) -> None:
        """End the workers, and remove what they have still written, where it does not go with the cloud anyway.

        ``late``: attempts were left when the job's output was committed, or given up.
        """
        self.pool.close()
        stack = self.cloud.stack
        if late and (self.cloud.lasting or is_s3(job.spec.output)):
            sweep_leftovers(job, stack.objects, stack.output_of(job.spec))

    def _give_up(self) -> str:
        """Cancel the job, give up what it holds, and say what has become of it."""
        stack = self.cloud.stack
        try:
            if stack.store.read_job(self.job_id) is None:
                self.cloud.job_is_gone()
                stack.objects.delete([object_names.plan(self.job_id), object_names.bundle(self.job_id)])
                return "nothing was written"
            stack.store.request_cancel(self.job_id, at=stack.clock.now())
            job = self._over(until_over(self.ticker, self.job_id))
        except S3mrError as error:
            if self.cloud.lasting and self._is_gone():
                self.cloud.job_is_gone()
                return self._lost()
            return f"what the job held could not be released: {error}{self._advice('release it with')}"
        if job.phase is Phase.SUCCEEDED:
            return f"too late: the output had been committed to {job.spec.output}"
        return f"nothing was written{self._advice('go on with')}"

    def _over(self, job: JobState) -> JobState:
        self.cloud.job_is_over(job.spec)
        return job

    def _stranded(self, error: S3mrError) -> S3mrError:
        """Return the error to raise where the job cannot be driven on."""
        if not self.cloud.lasting:
            return error
        if self._is_gone():
            self.cloud.job_is_gone()
            return S3mrError(f"{error}\n{self._lost()}: run it again")
        return S3mrError(f"{error}{self._advice('the job stands where it was; go on with')}")

    def _is_gone(self) -> bool:
        """Whether the table, or that there is none, proves that the job is lost. An error proves nothing."""
        try:
            return self.cloud.stack.store.read_job(self.job_id) is None
        except MissingError:
            return True
        except S3mrError:
            return False

    def _lost(self) -> str:
        return (
            f"the services at {self.cloud.settings.endpoint_url} have lost job {self.job_id}: what it had staged is "
            "removed, and it cannot be resumed"
        )

    def _advice(self, what: str) -> str:
        """Say how to resume the job, if it outlives this command."""
        url = self.cloud.settings.endpoint_url
        return f"\n{what}: s3mr resume {self.job_id} --endpoint-url {url}" if self.cloud.lasting else ""
