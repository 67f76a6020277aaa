"""Fake the stack's bucket and table in memory, with the semantics of S3 and DynamoDB that the ports promise.

The contract tests check that they behave like the AWS adapters. They are thread-safe: each store has one lock.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Literal

from s3mr.errors import InvariantError
from s3mr.model.job import AttemptId, Failure, JobState, LiveAttempt, Phase
from s3mr.model.manifest import Manifest
from s3mr.model.report import Report
from s3mr.ports import Commit, Logged, Observation

BLOCK_BYTES = 1024 * 1024


class MemoryObjectStore:
    """A bucket in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        if isinstance(body, bytes):
            self.objects[key] = body
        else:
            body.seek(0)
            self.objects[key] = body.read()

    def stream(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        data = self.objects.get(key)
        if data is None or (stop is not None and stop > len(data)):
            raise InvariantError(f"object {key} is missing or shorter than {stop} bytes")
        end = len(data) if stop is None else stop
        for at in range(start, end, BLOCK_BYTES):
            yield data[at : min(end, at + BLOCK_BYTES)]

    def size(self, key: str) -> int | None:
        data = self.objects.get(key)
        return None if data is None else len(data)

    def copy(self, source: str, target: str) -> bool:
        data = self.objects.get(source)
        if data is not None:
            self.objects[target] = data
        return data is not None

    def list(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self.objects if key.startswith(prefix))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)


class MemoryJobStore:
    """The table in memory."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: dict[str, JobState] = {}
        self._cancelled: set[str] = set()
        self._claims: dict[str, str] = {}
        self._live: dict[tuple[str, Phase, int, int], LiveAttempt] = {}
        self._winners: dict[tuple[str, Phase, int], Manifest | Literal["sealed"]] = {}
        self.log: dict[tuple[Any, ...], tuple[Report, str, float]] = {}

    def claim_output(self, output: str, *, job_id: str) -> str | None:
        with self._lock:
            holder = self._claims.get(output, job_id)
            job = self._jobs.get(holder)
            if holder != job_id and job is not None and not job.released:
                return holder
            self._claims[output] = job_id
            return None

    def release_output(self, output: str, *, job_id: str) -> None:
        with self._lock:
            if self._claims.get(output) == job_id:
                del self._claims[output]

    def create(self, job: JobState) -> bool:
        with self._lock:
            return self._jobs.setdefault(job.spec.job_id, job) is job

    def observe(self, job_id: str) -> Observation | None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            live = tuple(one for key, one in sorted(self._live.items()) if key[0] == job_id)
            return Observation(job, job_id in self._cancelled, live)

    def read_job(self, job_id: str) -> JobState | None:
        with self._lock:
            return self._jobs.get(job_id)

    def replace(self, job: JobState, *, epoch: int) -> bool:
        with self._lock:
            existing = self._jobs.get(job.spec.job_id)
            if existing is None or (existing.epoch != epoch and existing != job):
                return False
            self._jobs[job.spec.job_id] = job
            return True

    def newest(self, count: int) -> list[JobState]:
        with self._lock:
            return [self._jobs[job_id] for job_id in sorted(self._jobs, reverse=True)[:count]]

    def request_cancel(self, job_id: str, *, at: float) -> None:  # noqa: ARG002 - the port's
        with self._lock:
            self._cancelled.add(job_id)

    def begin(self, job_id: str, attempts: Sequence[LiveAttempt]) -> None:
        with self._lock:
            for one in attempts:
                self._live[job_id, one.phase, one.task, one.attempt] = one

    def record_failure(
        self, job_id: str, *, phase: Phase, attempt: AttemptId, failure: Failure, failed_at: float
    ) -> bool:
        with self._lock:
            key = (job_id, phase, attempt.task, attempt.attempt)
            one = self._live.get(key)
            if one is None or one.failure is not None:
                return False
            self._live[key] = one.model_copy(update={"failure": failure, "failed_at": failed_at})
            return True

    def forget(self, job_id: str, phase: Phase, attempts: Iterable[AttemptId]) -> None:
        with self._lock:
            for one in attempts:
                self._live.pop((job_id, phase, one.task, one.attempt), None)

    def commit(self, job: JobState, manifest: Manifest) -> Commit:
        with self._lock:
            key = (job.spec.job_id, manifest.phase, manifest.task)
            if key not in self._winners:
                self._winners[key] = manifest
                return Commit.WON
            return Commit.REPEATED if self._winners[key] == manifest else Commit.LOST

    def seal(self, job: JobState, phase: Phase, tasks: Iterable[int]) -> None:
        with self._lock:
            for task in tasks:
                self._winners.setdefault((job.spec.job_id, phase, task), "sealed")

    def manifests(self, job: JobState, phase: Phase, tasks: Iterable[int]) -> dict[int, Manifest]:
        with self._lock:
            found = {task: self._winners.get((job.spec.job_id, phase, task)) for task in tasks}
            return {task: one for task, one in found.items() if isinstance(one, Manifest)}

    def all_manifests(self, job: JobState, phase: Phase) -> Iterator[Manifest]:
        with self._lock:
            mine = sorted(key for key in self._winners if key[:2] == (job.spec.job_id, phase))
            found = [self._winners[key] for key in mine]
        yield from (one for one in found if isinstance(one, Manifest))

    def log_attempt(self, job: JobState, report: Report, *, verdict: str, at: float) -> None:
        with self._lock:
            execution = (report.phase, report.task, report.attempt, report.worker)
            self.log.setdefault((job.spec.job_id, verdict == "forged", *execution), (report, verdict, at))

    def logged(self, job: JobState, phase: Phase, task: int) -> list[Logged]:
        with self._lock:
            found = [
                Logged(report.attempt, report.worker, verdict, report.failure, at)
                for (job_id, *_), (report, verdict, at) in self.log.items()
                if (job_id, report.phase, report.task) == (job.spec.job_id, phase, task)
            ]
            return sorted(found, key=lambda one: (one.attempt, str(one.worker)))

    def erase(self, job: JobState) -> None:
        with self._lock:
            mine = job.spec.job_id
            self.log = {key: one for key, one in self.log.items() if key[0] != mine}
            self._live = {key: one for key, one in self._live.items() if key[0] != mine}
            self._winners = {key: one for key, one in self._winners.items() if key[0] != mine}
            self._cancelled.discard(mine)
            self.release_output(job.spec.output, job_id=mine)
            self._jobs.pop(mine, None)

    def count_ignored(self, job: JobState) -> int:
        with self._lock:
            return sum(
                key[0] == job.spec.job_id and verdict == "ignored" and report.manifest is not None
                for key, (report, verdict, _) in self.log.items()
            )
