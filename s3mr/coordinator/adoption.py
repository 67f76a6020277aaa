"""Resume a job that stopped because its process died, it failed, or it was cancelled.

A job that has not ended continues from its state in the table (`Resumer.take_up`, `launch_again`).

A job that failed or was cancelled never changes again. Resuming it creates a new job with the same plan, code and
options. The new job adopts each map winner whose objects still match their manifest, runs the other map tasks, and runs
all reduce tasks. It copies what it adopts, so it does not need the old job.

1. Check the request, and refuse it if it cannot work. Nothing is written.
2. Copy the plan and the code, then create the job. It has no output yet and no process drives it. But a process could
   drive it from here: a map task without a winner simply runs.
3. Adopt winners: their objects first, then the manifest.
4. Claim the output, and check that it is empty. Now the job can be driven.

If the process dies before step 4, the new job blocks no other job. You can resume either of the two.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from math import ceil
from operator import attrgetter
from typing import Final, NamedTuple

from s3mr import limits
from s3mr.batching import batched
from s3mr.coordinator.fence import FencedError
from s3mr.coordinator.submission import Submitter, check_texts
from s3mr.coordinator.ticker import Ticker
from s3mr.coordinator.transitions import relaunching
from s3mr.errors import RequestError, TransientError
from s3mr.model import object_names
from s3mr.model.job import AttemptId, JobSpec, JobState, LiveAttempt, Phase, WorkerFunctions
from s3mr.model.manifest import Manifest, unpack_pieces
from s3mr.model.plan import MapTask, Split
from s3mr.model.plan_codec import decode_plan
from s3mr.ports import Inputs, JobStore, ObjectStore, Parallel

ADOPT_BATCH: Final = 100  # winners adopted together
WIDTH: Final = 16  # requests sent at once


@dataclass(frozen=True, slots=True)
class Resumer:
    """Continues jobs, and creates new jobs from ended ones."""

    submitter: Submitter
    parallel: Parallel

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
            raise RequestError(f"job {job_id} has {job.phase}: there is nothing to continue")
        if not job.phase.working:
            return job
        if job.spec.resumed_from is not None and job.epoch == 0:
            job = self._adopt(job)
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
            raise RequestError(f"job {job_id} has not released its output yet: wait until it has ended, then resume it")
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
        for wrong in self.parallel.map(partial(_wrong, inputs), _one_of_each(self.plan_of(spec)), width=WIDTH):
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
        return self.submitter.create(spec, prepare=self._adopt)

    def _adopt(self, job: JobState) -> JobState:
        """Adopt the winners of the old job, and return the new state of the job. Idempotent.

        The tasks before the first task without a winner count as launched and done, so no tick checks them.
        """
        old = self._store.read_job(job.spec.resumed_from or "")
        if old is None or job.spec.last_phase is Phase.MAP:  # its parts were uploads, and have been aborted
            return job
        done = 0
        for batch in batched(self._store.all_manifests(old, Phase.MAP), ADOPT_BATCH):
            for task in self._adopt_batch(old, job, batch):
                done += task == done
        if not done:
            return job
        begun = job.model_copy(update={"cursor": done, "done": done, "epoch": job.epoch + 1})
        return begun if self._store.replace(begun, epoch=job.epoch) else job

    def _adopt_batch(self, old: JobState, job: JobState, winners: Sequence[Manifest]) -> list[int]:
        """Adopt ``winners``. Return the tasks that have a winner now, in order."""
        adopted = self._store.manifests(job, Phase.MAP, [one.task for one in winners])
        wanted = [one for one in winners if one.task not in adopted]
        copied = self.parallel.map(self._copy, _copies(old.spec, job.spec, wanted), width=WIDTH)
        missing = {task for task, whole in copied if not whole}
        whole = [one for one in wanted if one.task not in missing]
        for _ in self.parallel.map(partial(self._store.commit, job), whole, width=WIDTH):
            pass  # lost: the task has a winner already
        return [one.task for one in winners if one.task not in missing]

    def _copy(self, copy: "_Copy") -> tuple[int, bool]:
        whole = self._objects.copy(copy.source, copy.target) and self._objects.size(copy.target) == copy.size_bytes
        return copy.task, whole

    def _read(self, job_id: str) -> JobState:
        job = self._store.read_job(job_id)
        if job is None:
            raise RequestError(f"there is no job {job_id}")
        return job


def launch_again(ticker: Ticker, job_id: str) -> None:
    """Launch again the attempts that a dead process had launched: its workers died with it.

    They keep their numbers, so this uses up no attempts. If a worker is still alive, an attempt executes twice. If
    there are more attempts than can run here at once, leases grow by the time that the last ones wait.

    Raises:
        TransientError: a service is busy, or another process has written the job: the dead one, whose last write has
            arrived only now, or one that drives the same job. Some attempts may not be launched. You can call it again.
    """
    try:
        _launch_again(ticker, job_id)
    except FencedError as error:
        raise TransientError(f"another command is driving job {job_id}") from error


def _launch_again(ticker: Ticker, job_id: str) -> None:
    seen = ticker.store.observe(job_id)
    if seen is None or not seen.job.phase.working or seen.cancel_requested:
        return
    job, phase = seen.job, seen.job.phase
    live = [one for one in seen.live if one.phase is phase]
    won = ticker.store.manifests(job, phase, sorted({one.task for one in live}))
    ticker.store.forget(job_id, phase, [_id(one) for one in live if one.task in won])  # `record` died between writes
    lead, batches = ticker.lead(job), _left_launched(job, [one for one in live if one.task not in won])
    waves = ceil(sum(map(len, batches)) / ticker.capacity)
    launcher = replace(ticker.launcher, waiting_s=ticker.launcher.waiting_s * max(1, waves))
    for batch in batches:
        lead.save(relaunching(lead.job, batch, at=ticker.clock.now(), lease_s=0.0))
        launcher.repeat(lead)


def _left_launched(job: JobState, live: Iterable[LiveAttempt]) -> list[tuple[AttemptId, ...]]:
    """Return batches of attempts that may be running. The launch log comes first: nothing else may know of them."""
    logged = job.launching.attempts if job.launching else ()
    known = {(one.task, one.attempt) for one in logged}
    others = (_id(one) for one in live if one.failure is None and (one.task, one.attempt) not in known)
    return [*([logged] if logged else []), *map(tuple, batched(others, limits.LAUNCH_BATCH))]


def _id(one: LiveAttempt) -> AttemptId:
    return AttemptId(task=one.task, attempt=one.attempt, backup=one.backup)


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
        return f"vanished since it was planned: {planned.source}{where}"
    if (found.etag, found.size_bytes) != (planned.etag, planned.size_bytes):
        return f"changed since it was planned: {planned.source}{where}; run the job again"
    return None


def _gone(job_id: str) -> str:
    return f"the plan or the code of job {job_id} has been cleaned up or has expired: run the job again"
