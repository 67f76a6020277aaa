"""Record: write down what became of an attempt. The first completed attempt of a task wins, for ever."""

from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest

from s3mr import limits
from s3mr.model import object_names
from s3mr.model.job import AttemptId, Failure, FailureKind, JobState, Phase
from s3mr.model.report import Report, attempt_token
from s3mr.ports import Clock, Commit, JobStore

JOBS_REMEMBERED_MAX = 64


class Verdict(StrEnum):
    """What a report came to."""

    WON = "won"
    FAILED = "failed"  # a failure, noted on its live attempt
    IGNORED = "ignored"  # its task has a winner, its attempt is not live, or the job has ended
    FORGED = "forged"  # the token is not this attempt's, or the mark of a worker function is missing
    UNKNOWN = "unknown"  # no such job
    UNREADABLE = "unreadable"  # no report at all


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records reports. It remembers only what never changes in a job: its spec and its secret."""

    store: JobStore
    clock: Clock
    _jobs: dict[str, JobState] = field(default_factory=dict)

    def record(self, report: Report, *, forged: bool = False) -> Verdict:
        """Write ``report`` down and say what it came to. Recording it again changes nothing.

        ``forged``: it is known not to come from where reports do; it is only kept, for people.
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
        if not compare_digest(token.encode(), report.token.encode("utf-8", "surrogatepass")):  # only bytes may be any
            return Verdict.FORGED
        attempt = AttemptId(task=report.task, attempt=report.attempt)
        failure = report.failure or _malformed(job, report)
        if failure is not None:
            own = {"phase": report.phase, "task": report.task, "attempt": report.attempt}  # not what it says itself
            failure = failure.model_copy(update=own)
            noted = self.store.record_failure(
                report.job_id, phase=report.phase, attempt=attempt, failure=failure, failed_at=self.clock.now()
            )
            return Verdict.FAILED if noted else Verdict.IGNORED
        assert report.manifest is not None  # noqa: S101 - a report carries one of the two
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
    """Return a failure if the manifest is not one that this attempt could have written.

    Workers run user code, so a manifest is believed only as far as it speaks of its own attempt.
    """
    manifest = report.manifest
    assert manifest is not None  # noqa: S101 - the caller has looked
    spec, final = job.spec, report.phase is job.spec.last_phase
    own = (report.phase, report.task, report.attempt, report.worker)
    column_bytes = spec.reducers * limits.PIECE_COLUMN_BYTES
    shape_is_right = (
        (manifest.phase, manifest.task, manifest.attempt, manifest.worker) == own
        and report.task < spec.tasks(report.phase)
        and manifest.counters.of_one_task
        and (manifest.part is not None) == final
        and (
            manifest.part is None
            or (manifest.part.name, manifest.part.worker) == (object_names.part(report.task), report.worker)
        )
        and (manifest.pieces is None if final else len(manifest.pieces or b"") == column_bytes)
        and (manifest.books is not None) == (report.phase is Phase.REDUCE)
    )
    if shape_is_right:
        return None
    return Failure(kind=FailureKind.CRASH, message="the report's manifest does not describe its own attempt")
