"""Launch attempts: log a batch, write its live attempts, invoke the workers.

A tick that dies uses up no attempts. The next tick repeats the logged batch with the same attempt numbers and tokens,
and skips tasks that have a winner by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from s3mr import limits
from s3mr.batching import batched
from s3mr.coordinator.fence import Lead
from s3mr.coordinator.transitions import PhaseProgress, launched, launching, progressed, refused, relaunching
from s3mr.errors import TransientError
from s3mr.model import object_names
from s3mr.model.job import AttemptId, JobState, LiveAttempt, Phase
from s3mr.model.plan import Pointer
from s3mr.model.plan_codec import POINTER_BYTES, decode_pointer
from s3mr.model.report import TaskRequest, attempt_token
from s3mr.ports import Clock, Invoker, JobStore, ObjectStore, Parallel


@dataclass(frozen=True, slots=True)
class Launcher:
    """Hands attempts to the invoker."""

    store: JobStore
    objects: ObjectStore
    invoker: Invoker
    parallel: Parallel
    clock: Clock
    waiting_s: float = limits.EVENT_AGE_S  # how long an attempt may wait in the invoker before it starts

    def launch(self, lead: Lead, attempts: Sequence[AttemptId], *, cursor: int, progress: PhaseProgress) -> None:
        """Launch ``attempts`` in batches. The job's ``cursor`` moves past the tasks of each batch.

        The first write saves ``progress``, too. A lease begins with its batch. Tasks that a resumed job has adopted are
        not launched again.

        Raises:
            TransientError: the invoker refused for now. The attempts that it refused stay in the launch log.
        """
        for batch in batched(attempts, limits.LAUNCH_BATCH):
            job = progressed(lead.job, progress)
            fresh = [one.task + 1 for one in batch if one.attempt == 1]
            if job.spec.resumed_from is not None:
                batch = self._not_won(job, batch)  # noqa: PLW2901 - the rest of the batch
            now = self.clock.now()
            begun = min(cursor, max([job.cursor, *fresh]))
            lead.save(launching(job, batch, cursor=begun, at=now, lease_s=self._lease_s(job)))
            self._perform(lead, batch)
        lead.save(launched(lead.job))

    def repeat(self, lead: Lead) -> None:
        """Launch again the batch that an earlier tick logged, except tasks that have a winner by now.

        The leases start again, because the earlier tick may have died long ago.
        """
        job = lead.job
        assert job.launching is not None  # noqa: S101 - the caller has checked, or logged it
        logged = job.launching.attempts
        job = lead.save(relaunching(job, logged, at=self.clock.now(), lease_s=self._lease_s(job)))
        self._perform(lead, self._not_won(job, logged))
        lead.save(launched(lead.job))

    def _lease_s(self, job: JobState) -> float:
        return limits.lease_s(job.spec.task_timeout_s, waiting_s=self.waiting_s)

    def _not_won(self, job: JobState, attempts: Sequence[AttemptId]) -> tuple[AttemptId, ...]:
        won = self.store.manifests(job, job.phase, [one.task for one in attempts])
        return tuple(one for one in attempts if one.task not in won)

    def _perform(self, lead: Lead, attempts: Sequence[AttemptId]) -> None:
        job = lead.job
        requests = _requests(job, attempts, self.objects, waiting_s=self.waiting_s)
        self.store.begin(job.spec.job_id, _live(job, attempts, self._lease_s(job)))
        answers = list(self.parallel.map(self._invoke, requests, width=limits.INVOKE_WIDTH))
        left = tuple(one for one, answer in zip(attempts, answers, strict=True) if answer is not None)
        if left:
            lead.save(refused(job, left))
            raise next(answer for answer in answers if answer is not None)

    def _invoke(self, request: TaskRequest) -> TransientError | None:
        """Invoke one attempt. Return the error if the invoker refused it."""
        try:
            self.invoker.invoke(request)
        except TransientError as error:
            return error
        return None


def _live(job: JobState, attempts: Sequence[AttemptId], lease_s: float) -> list[LiveAttempt]:
    assert job.launching is not None  # noqa: S101 - only logged batches are performed
    at = job.launching.at
    return [
        LiveAttempt(
            phase=job.launching.phase,
            **dict(one),
            launched_at=at,
            lease_until=at + lease_s,
        )
        for one in attempts
    ]


def _requests(
    job: JobState, attempts: Sequence[AttemptId], objects: ObjectStore, *, waiting_s: float
) -> list[TaskRequest]:
    assert job.launching is not None  # noqa: S101 - only logged batches are performed
    start_by = job.launching.at + limits.start_s(waiting_s=waiting_s)
    pointers = _pointers(job, attempts, objects) if job.phase is Phase.MAP else {}
    return [
        TaskRequest(
            spec=job.spec,
            phase=job.phase,
            task=one.task,
            attempt=one.attempt,
            token=attempt_token(job.secret, phase=job.phase, task=one.task, attempt=one.attempt),
            start_by=start_by,
            plan=pointers.get(one.task),
        )
        for one in attempts
    ]


def _pointers(job: JobState, attempts: Sequence[AttemptId], objects: ObjectStore) -> dict[int, Pointer]:
    """Return the pointer to the plan of each task, with one read of the index from the first task to the last."""
    if not attempts:
        return {}
    tasks = sorted({one.task for one in attempts})
    start = job.spec.plan_index_offset_bytes + tasks[0] * POINTER_BYTES
    stop = job.spec.plan_index_offset_bytes + (tasks[-1] + 1) * POINTER_BYTES
    index = b"".join(objects.stream(object_names.plan(job.spec.job_id), start=start, stop=stop))
    offsets = {task: (task - tasks[0]) * POINTER_BYTES for task in tasks}
    return {task: decode_pointer(index[at : at + POINTER_BYTES]) for task, at in offsets.items()}
