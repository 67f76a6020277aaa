"""The people of a simulation submit, cancel, resume and clean up. Their machines can die, too."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from s3mr.adapters.memory.memory_stores import MemoryJobStore
from s3mr.coordinator.resumer import Resumer
from s3mr.coordinator.submission import Submission
from s3mr.coordinator.sweep import sweep
from s3mr.errors import InvariantError, RequestError, S3mrError
from s3mr.model.job import JobSpec, JobState, Phase
from s3mr.ports import JobStore, ObjectStore
from tests.simulation.cloud import Cloud
from tests.simulation.faults import Faults
from tests.simulation.loop import End, Loop, Process


class PersonWitness(Protocol):
    """Receives the results of what people do."""

    def resumed(self, job: JobState) -> None: ...

    def accepted(self, job: JobState) -> None: ...

    def gave_up(self, process: Process) -> None: ...


class Person:
    """A person who wants one job done, and keeps trying until it is done or refused.

    ``table`` is the truth, as shown by `s3mr ls`. All actions of a person go through ports.
    """

    def __init__(
        self,
        loop: Loop,
        faults: Faults,
        cloud: Cloud,
        table: MemoryJobStore,
        resumer: Resumer,
        submission: Submission,
        *,
        resumes: bool,
        drives: bool,
        witness: PersonWitness,
    ) -> None:
        self.jobs: list[str] = []  # the newest last
        self.refused: S3mrError | None = None
        self._loop, self._faults, self._cloud, self._table = loop, faults, cloud, table
        self._resumer, self._submission, self._resumes, self._witness = resumer, submission, resumes, witness
        self._drives = drives  # the command that submits a job also leads it, as on a laptop

    def made(self, spec: JobSpec) -> None:
        """Record that a job of this person was created."""
        if spec.job_id not in self.jobs:
            self.jobs.append(spec.job_id)
        self._resumes = self._resumes and spec.resumed_from is None  # only once

    @property
    def store(self) -> JobStore:
        return self._resumer.submitter.store

    @property
    def objects(self) -> ObjectStore:
        return self._resumer.submitter.objects

    def begin(self) -> None:
        """Submit the job."""
        submitter = self._resumer.submitter
        self._do(lambda: submitter.submit(submitter.plan(self._submission)), self._started)

    def cancel(self) -> None:
        """Cancel the job that runs, and make sure that a coordinator learns of it."""
        for job_id in self.jobs:
            job = self._job(job_id)
            if job is not None and not job.released:
                wish = partial(self.store.request_cancel, job_id, at=self._loop.now)
                self._do(wish, partial(self._see_to_it, job_id), otherwise=self.cancel)

    def look(self) -> None:
        """Make sure that this person's jobs progress: take over or start what has stopped, resume what has failed."""
        if self.refused is not None:
            return
        job = self._job(self.jobs[-1]) if self.jobs else None
        if job is None or (job.released and job.cursor == job.attempts == 0 and job.phase is Phase.FAILED):
            self.begin()  # it was never created, or its submitter gave it up
        elif not job.released:
            self._do(
                lambda: self._resumer.take_up(job.spec.job_id),
                self._started,
                refused=partial(self._give_up, job.spec.job_id),
            )
        elif job.phase is not Phase.SUCCEEDED and self._resumes:
            self._do(lambda: self._resumer.plan_again(job.spec.job_id), self._started)

    def clean(self) -> None:
        """Delete what ended jobs have left."""
        for job_id in self.jobs:
            job = self._job(job_id)
            if job is not None and job.released:
                self._do(partial(self._clean, job), lambda _: None, otherwise=self.clean)

    def _clean(self, job: JobState) -> None:
        sweep(self.objects, self._resumer.submitter.output_of(job.spec), job.spec)
        self.store.erase(job)

    def _started(self, job: JobState) -> None:
        if job.spec.resumed_from is not None:
            self._witness.resumed(job)
        self._witness.accepted(job)
        self.see_to(job.spec.job_id, holds=self._drives)

    def _see_to_it(self, job_id: str, _answer: object) -> None:
        self.see_to(job_id)

    def see_to(self, job_id: str, *, holds: bool = False) -> None:
        """Make sure that a process drives a job. ``holds``: the command that has just claimed its output."""
        if not self._cloud.has_coordinator(job_id):
            self._cloud.coordinate(job_id, holds=holds)

    def _give_up(self, job_id: str, error: RequestError) -> None:
        """Cancel a job that cannot be taken over, because its output is another's, unless it has ended."""
        job = self._job(job_id)
        if job is None or job.released:
            self.look()
            return
        self.refused = error
        self.cancel()

    def _refuse(self, error: S3mrError) -> None:
        self.refused = error

    def _do(
        self,
        body: Callable[[], Any],
        then: Callable[[Any], object],
        *,
        refused: Callable[[RequestError], object] | None = None,
        otherwise: Callable[[], object] | None = None,
    ) -> None:
        """Run an action, and continue after any error."""

        def ended(end: End) -> None:
            if isinstance(end.error, (RequestError, InvariantError)):
                self._witness.gave_up(process)
            if isinstance(end.error, RequestError):
                (refused or self._refuse)(end.error)
            elif isinstance(end.error, InvariantError):
                self._refuse(end.error)  # the data that it read is damaged, and stays so
            elif end.killed or end.error is not None:
                self._loop.after(self._faults.between(1, 6), otherwise or self.look)
            else:
                then(end.value)

        process = self._loop.spawn("person", body, ended, work=self)

    def _job(self, job_id: str) -> JobState | None:
        return self._table.read_job(job_id)
