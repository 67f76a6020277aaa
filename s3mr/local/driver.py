"""Drive one job to its end: tick after every report. Ctrl-C cancels it.

If this process dies, a job at an endpoint can be resumed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from s3mr import limits
from s3mr.adapters.aws.s3_uri import is_s3
from s3mr.coordinator.relaunch import launch_again
from s3mr.coordinator.sweep import sweep_leftovers
from s3mr.coordinator.ticker import Ticker
from s3mr.errors import JobFailedError, MissingError, S3mrError, TransientError
from s3mr.local.cloud import Cloud
from s3mr.local.worker_pool import WorkerPool
from s3mr.model import object_names
from s3mr.model.job import JobState, Phase
from s3mr.model.result import JobResult

TROUBLE_MAX = 8  # consecutive ticks that may fail because a service is busy
TROUBLE_PAUSE_S = 0.5


class JobView(Protocol):
    """Shows a job that runs on this machine."""

    @property
    def stderr(self) -> int | None:
        """The file descriptor that user code prints to; None means this process's own standard error."""

    def show(self, job: JobState, running: int) -> None:
        """Show the job, which has ``running`` attempts. Called after every tick."""

    def take_output(self, result: JobResult) -> bool:
        """Use the output of a job without an output folder. Return False to keep the output for the caller."""


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
    """One job, with the cloud, workers and coordinator that it runs on."""

    cloud: Cloud
    pool: WorkerPool
    ticker: Ticker
    job_id: str
    view: JobView
    task_timeout_s: float = limits.TASK_TIMEOUT_S

    def to_its_end(self, begin: Callable[[], object], *, again: bool) -> JobState:
        """Call ``begin``, which submits or continues the job; drive the job, and return it when it is over.

        With ``again``, first relaunch the attempts of a process that has died.

        Raises:
            KeyboardInterrupt: it was cancelled; the text says what the job has written.
            S3mrError: its services are gone, or are busy for too long.
        """
        try:
            begin()  # from here on, the job owns its output
            self.cloud.job_is_recorded()
            return self._over(self._drive(again=again))
        except KeyboardInterrupt:
            self.pool.close()
            raise KeyboardInterrupt(self._give_up()) from None

    def failure(self, job: JobState) -> JobFailedError:
        """Return the error that says why a job did not succeed."""
        story = job.failure.story() if job.failure else "the job was cancelled"
        return JobFailedError(f"{story}{self._advice('when you have fixed that, continue with')}")

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
        """Return the coordinator, set to queue as many attempts as the workers' pace needs now."""
        queued = self.pool.pace.queued
        launcher = replace(self.ticker.launcher, waiting_s=limits.EVENT_AGE_S + queued * self.task_timeout_s)
        return replace(self.ticker, launcher=launcher, capacity=self.pool.pace.workers * queued, holds=self.job_id)

    def _enough(self, job: JobState) -> int:
        """Return the number of unfinished attempts at which to tick again. It is 0 if all tasks are launched."""
        unlaunched = job.phase.working and job.cursor < job.spec.tasks(job.phase)
        return self.pool.pace.enough if unlaunched else 0

    def _leave_nothing(self, job: JobState, *, late: bool) -> None:
        """End the workers, and remove what they wrote late, unless the cloud removes it anyway.

        ``late`` says whether attempts were left when the job's output was committed or abandoned.
        """
        self.pool.close()
        stack = self.cloud.stack
        if late and (self.cloud.lasting or is_s3(job.spec.output)):
            sweep_leftovers(job, stack.objects, stack.output_of(job.spec))

    def _give_up(self) -> str:
        """Cancel the job, release what it holds, and return a text that says what it has written."""
        stack = self.cloud.stack
        try:
            if stack.store.read_job(self.job_id) is None:
                self.cloud.job_is_gone()
                stack.objects.delete([object_names.plan(self.job_id), object_names.bundle(self.job_id)])
                return "nothing was written"
            stack.store.request_cancel(self.job_id, at=stack.clock.now())
            job = self._over(self.ticker.tick_to_end(self.job_id))
        except S3mrError as error:
            if self.cloud.lasting and self._is_gone():
                self.cloud.job_is_gone()
                return self._lost()
            return f"cannot release what the job holds: {error}{self._advice('release it with')}"
        if job.phase is Phase.SUCCEEDED:
            return f"too late: the output was already committed to {job.spec.output}"
        return f"nothing was written{self._advice('continue with')}"

    def _over(self, job: JobState) -> JobState:
        self.cloud.job_is_over(job.spec)
        return job

    def _stranded(self, error: S3mrError) -> S3mrError:
        """Return the error to raise if this process can no longer drive the job."""
        if not self.cloud.lasting:
            return error
        if self._is_gone():
            self.cloud.job_is_gone()
            return S3mrError(f"{error}\n{self._lost()}: run it again")
        return S3mrError(f"{error}{self._advice('the job kept its progress; continue with')}")

    def _is_gone(self) -> bool:
        """Whether the job is certainly lost: the table does not have it, or does not exist. An error proves nothing."""
        try:
            return self.cloud.stack.store.read_job(self.job_id) is None
        except MissingError:
            return True
        except S3mrError:
            return False

    def _lost(self) -> str:
        return (
            f"the services at {self.cloud.settings.endpoint_url} have lost job {self.job_id}: its staged output was "
            "removed, and it cannot be resumed"
        )

    def _advice(self, what: str) -> str:
        """Return how to resume the job, if it outlives this command."""
        url = self.cloud.settings.endpoint_url
        return f"\n{what}: s3mr resume {self.job_id} --endpoint-url {url}" if self.cloud.lasting else ""
