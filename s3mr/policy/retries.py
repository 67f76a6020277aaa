"""Decide from a task's attempts whether it is running, must be launched again, or has failed for good.

Each kind of failure has its own budget. A user's function that raised is tried once more. An error of a service costs
no attempt, and neither does a wait for a free worker that timed out. A worker's death costs one attempt. Backup
attempts do not count.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from s3mr import limits
from s3mr.model.job import Failure, FailureKind, JobSpec, LiveAttempt

BACKOFF_S = 1.0
BACKOFF_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """These attempts may still report."""

    attempts: tuple[LiveAttempt, ...]


@dataclass(frozen=True, slots=True)
class Relaunch:
    """Launch the task again, as attempt number ``attempt``, at time ``at`` or later."""

    attempt: int
    at: float


def judge_task(spec: JobSpec, attempts: Sequence[LiveAttempt], *, now: float) -> Running | Relaunch | Failure:
    """Decide what to do with a task that has no winner. ``attempts`` are all its attempts, in order.

    A returned `Failure` is why the job fails. A failure that can never succeed, or that shows a bug, fails the job at
    once. Other failures do when the budget of their kind is used up and no running attempt could still win.
    """
    failed = [(one, _failure(one, now=now)) for one in attempts]
    for _, failure in failed:
        if failure and failure.kind in (FailureKind.REQUEST, FailureKind.INVARIANT):
            return failure
    running = tuple(one for one, failure in failed if failure is None)
    counted = [failure for one, failure in failed if failure and not one.backup]
    spent = Counter(failure.kind for failure in counted)
    user_max = min(limits.USER_ATTEMPTS, spec.request.attempts)
    if spent[FailureKind.USER] >= user_max:
        return next(failure for failure in reversed(counted) if failure.kind is FailureKind.USER)
    if running:
        return Running(running)
    budget_used = spent[FailureKind.USER] + spent[FailureKind.CRASH] >= spec.request.attempts
    last = attempts[-1]
    waited = last.failure is not None and last.failure.kind is FailureKind.NO_ROOM
    if waited and last.attempt > limits.NO_ROOM_ATTEMPTS:
        return _exhausted(counted)
    if budget_used or spent[FailureKind.TRANSIENT] >= limits.TRANSIENT_ATTEMPTS:
        return _exhausted(counted)
    at = now
    if last.failure and (waited or last.failure.kind is FailureKind.TRANSIENT):
        count = last.attempt if waited else spent[FailureKind.TRANSIENT]
        at = (last.failed_at or now) + _backoff_s(spec.job_id, last, count)
    return Relaunch(attempt=last.attempt + 1, at=at)


def superseded(attempts: Sequence[LiveAttempt]) -> tuple[LiveAttempt, ...]:
    """Return the attempts of a task that never got a worker and were replaced by later ones.

    There may be hundreds of them. They are not needed for the count: attempts are numbered.
    """
    return tuple(one for one in attempts[:-1] if one.failure and one.failure.kind is FailureKind.NO_ROOM)


def _failure(one: LiveAttempt, *, now: float) -> Failure | None:
    """Return why the attempt failed, or None. An attempt that has not reported when its lease ends has failed."""
    if one.failure or one.lease_until > now:
        return one.failure
    lease_s = one.lease_until - one.launched_at
    return Failure(
        kind=FailureKind.CRASH,
        message=f"the worker did not report within its lease of {lease_s:.0f} s",
        phase=one.phase,
        task=one.task,
        attempt=one.attempt,
    )


def _exhausted(failures: Sequence[Failure]) -> Failure:
    last = failures[-1]
    message = f"{last.message} (this was the last of {len(failures)} attempts)"
    return last.model_copy(update={"message": message[: limits.FAILURE_TEXT_MAX]})


def _backoff_s(job_id: str, last: LiveAttempt, count: int) -> float:
    """Return an exponential backoff with jitter, ``[0.5, 1.5) * BACKOFF_S * 2**n``. The jitter is a repeatable hash."""
    name = f"{job_id}|{last.phase}|{last.task}|{last.attempt}".encode()
    jitter = int.from_bytes(hashlib.sha256(name).digest()[:4], "big") / 2**32
    return min(BACKOFF_S_MAX, BACKOFF_S * 2.0 ** min(count - 1, 10)) * (0.5 + jitter)
