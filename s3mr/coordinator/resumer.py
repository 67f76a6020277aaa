"""Resume a job that stopped because its process died, it failed, or it was cancelled.

A job that has not ended continues from its state in the table (`Resumer.take_up`, `s3mr.coordinator.relaunch`).

A job that failed or was cancelled never changes again. Resuming it creates a new job with the same plan, code and
options. The new job adopts the old job's map winners (`s3mr.coordinator.adoption`), runs the other map tasks, and runs
all reduce tasks. It copies what it adopts, so it does not need the old job.

1. Check the request, and refuse it if it cannot work. Nothing is written.
2. Copy the plan and the code, then create the job. It has no output yet and no process drives it. But a process could
   drive it from here: a map task without a winner simply runs.
3. Adopt winners: their objects first, then the manifest.
4. Claim the output, and check that it is empty. Now the job can be driven.

If the process dies before step 4, the new job blocks no other job. You can resume either of the two.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

from s3mr.coordinator.adoption import Adoption
from s3mr.coordinator.submission import Submitter, check_texts
from s3mr.errors import RequestError
from s3mr.model import object_names
from s3mr.model.job import JobSpec, JobState, Phase, WorkerFunctions
from s3mr.model.plan import MapTask, Split
from s3mr.model.plan_codec import decode_plan
from s3mr.ports import Inputs, JobStore, ObjectStore, Parallel

_WIDTH: Final = 16  # inputs looked up at once


@dataclass(frozen=True, slots=True)
class Resumer:
    """Continues jobs, and creates new jobs from ended ones."""

    submitter: Submitter
    parallel: Parallel

    @property
    def _adopting(self) -> Adoption:
        return Adoption(self._store, self._objects, self.parallel)

    @property
    def _store(self) -> JobStore:
        return self.submitter.store

    @property
    def _objects(self) -> ObjectStore:
        return self.submitter.objects

    def take_up(self, job_id: str) -> JobState:
        """Prepare a job without a coordinator for the next tick, and return it.

        The process that submitted it may have died before it claimed the output, or before it adopted all winners.

        Raises:
            RequestError: there is no such job, it has ended, or another job has claimed its output.
        """
        job = self._read(job_id)
        if job.released:
            raise RequestError(f"job {job_id} has ended ({job.phase}): there is nothing to continue")
        if not job.phase.working:
            return job
        if job.spec.resumed_from is not None and job.epoch == 0:
            job = self._adopting.adopt(job)
        try:
            self.submitter.take_output(job.spec)
        except RequestError:
            if self._read(job_id).phase.working:  # else another process drives it meanwhile, and fills the output
                raise
        return job

    def plan_again(
        self, job_id: str, *, output: str | None = None, functions: WorkerFunctions | None = None
    ) -> JobState:
        """Create a new job from one that failed or was cancelled. The next tick starts it. See `plan` and `submit`."""
        return self.submit(self.plan(job_id, output=output, functions=functions))

    def plan(
        self,
        job_id: str,
        *,
        output: str | None = None,
        functions: WorkerFunctions | None = None,
        printed: bool = False,
    ) -> JobSpec:
        """Return the spec of a new job that replaces an ended one. It writes nothing yet.

        Raises:
            RequestError: there is no such job, it has succeeded or not ended, its plan is gone, an input has changed,
                or the output is not empty.
        """
        old = self._read(job_id)
        if old.phase is Phase.SUCCEEDED:
            raise RequestError(f"job {job_id} has succeeded: there is nothing to resume")
        if not old.released:
            raise RequestError(
                f"job {job_id} has not ended, or still releases its output: wait or cancel it, then resume it"
            )
        if any(self._objects.size(key(job_id)) is None for key in (object_names.plan, object_names.bundle)):
            raise RequestError(_gone(job_id))
        self.check_inputs(old.spec)
        spec = JobSpec.model_validate(
            {
                **dict(old.spec),
                "job_id": self.submitter.new_job_id(),
                "output": old.spec.output if output is None else output,
                "functions": functions,
                "resumed_from": job_id,
                "printed": printed,
            }
        )
        check_texts(spec.output)
        self.submitter.output_of(spec).check(deadline_s=spec.deadline_s)
        return spec

    def check_inputs(self, spec: JobSpec) -> None:
        """Check that every input of the job is unchanged.

        Raises:
            RequestError: an input has vanished or changed since the job was planned; the message names the first one.
        """
        inputs = self.submitter.inputs_of(spec.request.requester_pays)
        for wrong in self.parallel.map(partial(_wrong, inputs), _one_of_each(self.plan_of(spec)), width=_WIDTH):
            if wrong is not None:
                raise RequestError(wrong)

    def plan_of(self, spec: JobSpec) -> Iterator[MapTask]:
        """Yield the planned map tasks of the job, in order. Its plan must exist."""
        key, index_at = object_names.plan(spec.job_id), spec.plan_index_offset_bytes
        index = b"".join(self._objects.stream(key, start=index_at)) if spec.map_tasks else b""
        return decode_plan(index, self._objects.stream(key, stop=index_at))

    def submit(self, spec: JobSpec) -> JobState:
        """Create the new job, with everything that it adopts. The next tick starts it.

        Raises:
            RequestError: the old job's plan is gone, or another job has claimed the output.
        """
        old_id = spec.resumed_from
        assert old_id is not None  # noqa: S101 - `plan` has set it
        for key in (object_names.plan, object_names.bundle):
            if not self._objects.copy(key(old_id), key(spec.job_id)):
                raise RequestError(_gone(old_id))
        return self.submitter.create(spec, prepare=self._adopting.adopt)

    def _read(self, job_id: str) -> JobState:
        job = self._store.read_job(job_id)
        if job is None:
            raise RequestError(f"there is no job {job_id}")
        return job


def _one_of_each(tasks: Iterable[MapTask]) -> Iterator[Split]:
    """Yield one split of each object. The splits of an object are consecutive."""
    splits = (split for task in tasks for split in task.splits)
    return (next(same) for _, same in groupby(splits, key=attrgetter("source")))


def _wrong(inputs: Inputs, planned: Split) -> str | None:
    """Return what is wrong with an input; None if it is unchanged."""
    found = inputs.look_up(planned.source)
    relative = "://" not in planned.source and not planned.source.startswith("/")
    where = "; its name is relative: resume the job in the folder where you started it" if relative else ""
    if found is None:
        return f"vanished since it was planned: {planned.source}{where}; restore it, or run the job again"
    if (found.etag, found.size_bytes) != (planned.etag, planned.size_bytes):
        return f"changed since it was planned: {planned.source}{where}; run the job again"
    return None


def _gone(job_id: str) -> str:
    return f"the plan or the code of job {job_id} has been cleaned up or has expired: run the job again"
