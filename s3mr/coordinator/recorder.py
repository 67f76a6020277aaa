"""Record the result of an attempt. The first completed attempt of a task wins, permanently."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest

from s3mr import limits
from s3mr.model import object_names
from s3mr.model.job import AttemptId, Failure, FailureKind, JobSpec, JobState, Phase
from s3mr.model.manifest import Manifest
from s3mr.model.report import Report, attempt_token
from s3mr.ports import Clock, Commit, JobStore

JOBS_REMEMBERED_MAX = 64


class Verdict(StrEnum):
    """What recording a report resulted in."""

    WON = "won"
    FAILED = "failed"  # a failure, recorded on its live attempt
    IGNORED = "ignored"  # its task has a winner, its attempt is not live, or the job has ended
    FORGED = "forged"  # the token is not this attempt's, or the mark of a worker function is missing
    UNKNOWN = "unknown"  # there is no such job
    UNREADABLE = "unreadable"  # not a report


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records reports. It caches jobs, but uses only what never changes in a job: its spec and its secret."""

    store: JobStore
    clock: Clock
    _jobs: dict[str, JobState] = field(default_factory=dict)

    def record(self, report: Report, *, forged: bool = False) -> Verdict:
        """Record ``report`` and return the verdict. Idempotent.

        Set ``forged`` if the mark of a worker function is missing or wrong. Then it is only logged, for users.
        """
        job = self._job(report.job_id)
        if job is None:
            return Verdict.UNKNOWN
        verdict = Verdict.FORGED if forged else self._judge(job, report)
        if verdict is not Verdict.WON:
            self.store.log_attempt(job, report, verdict=verdict, at=self.clock.now())
        return verdict

    def _judge(self, job: JobState, report: Report) -> Verdict:
        token = attempt_token(job.secret, phase=report.phase, task=report.task, attempt=report.attempt)
        if not compare_digest(token.encode(), report.token.encode("utf-8", "surrogatepass")):  # text must be ASCII
            return Verdict.FORGED
        attempt = AttemptId(task=report.task, attempt=report.attempt)
        failure = report.failure or _malformed(job, report)
        if failure is not None:
            own = {"phase": report.phase, "task": report.task, "attempt": report.attempt}  # the failure may name others
            failure = failure.model_copy(update=own)
            noted = self.store.record_failure(
                report.job_id, phase=report.phase, attempt=attempt, failure=failure, failed_at=self.clock.now()
            )
            return Verdict.FAILED if noted else Verdict.IGNORED
        assert report.manifest is not None  # noqa: S101 - a report has one of the two
        answer = self.store.commit(job, report.manifest)
        if answer is Commit.LOST:
            return Verdict.IGNORED
        begun = [AttemptId(task=report.task, attempt=number) for number in range(1, report.attempt + 1)]
        self.store.forget(report.job_id, report.phase, begun)
        return Verdict.WON if answer is Commit.WON else Verdict.IGNORED

    def _job(self, job_id: str) -> JobState | None:
        job = self._jobs.get(job_id) or self.store.read_job(job_id)
        if job is not None:
            while len(self._jobs) >= JOBS_REMEMBERED_MAX and job_id not in self._jobs:
                self._jobs.pop(next(iter(self._jobs)), None)
            self._jobs[job_id] = job
        return job


def _malformed(job: JobState, report: Report) -> Failure | None:
    """Return a failure if this attempt could not have written the manifest.

    Workers run user code, so a manifest is trusted only for its own attempt.
    """
    assert report.manifest is not None  # noqa: S101 - the caller has checked
    wrong = next(_inconsistencies(job.spec, report, report.manifest), None)
    if wrong is None:
        return None
    return Failure(kind=FailureKind.CRASH, message=f"the report's manifest does not describe its own attempt: {wrong}")


def _inconsistencies(spec: JobSpec, report: Report, manifest: Manifest) -> Iterator[str]:
    """Yield each way in which ``manifest`` contradicts its report or the job."""
    own = (report.phase, report.task, report.attempt, report.worker)
    if (manifest.phase, manifest.task, manifest.attempt, manifest.worker) != own:
        yield "it names another attempt or worker"
    if report.task >= spec.tasks(report.phase):
        yield f"the job has no {report.phase} task {report.task}"
    if not manifest.counters.of_one_task:
        yield "its counters are out of range for one task"
    if report.phase is Phase.REDUCE and manifest.books is None:
        yield "it has no books, which every reduce task writes"
    if report.phase is Phase.MAP and manifest.books is not None:
        yield "it has books, which only reduce tasks write"
    if report.phase is spec.last_phase:
        yield from _wrong_part(report, manifest)
    else:
        yield from _wrong_pieces(spec, manifest)


def _wrong_part(report: Report, manifest: Manifest) -> Iterator[str]:
    part = manifest.part
    if part is None:
        yield "it has no part, which every task of the last phase writes"
    elif (part.name, part.worker) != (object_names.part(report.task), report.worker):
        yield "its part has the name or the worker of another attempt"
    if manifest.pieces is not None:
        yield "it has pieces, which tasks of the last phase do not write"


def _wrong_pieces(spec: JobSpec, manifest: Manifest) -> Iterator[str]:
    if manifest.part is not None:
        yield "it has a part, which only tasks of the last phase write"
    if len(manifest.pieces or b"") != spec.reducers * limits.PIECE_COLUMN_BYTES:
        yield f"it does not have {spec.reducers} pieces, one for each reduce task"
