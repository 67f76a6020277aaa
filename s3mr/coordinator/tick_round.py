"""Drive a job for one round of ticks: one call of the tick function on AWS. Step Functions waits between rounds."""

from math import ceil
from typing import Any

from pydantic import BaseModel

from s3mr import limits
from s3mr.coordinator.ticker import NoSuchJobError, Tick, Ticker
from s3mr.model.job import Failure, FailureKind
from s3mr.ports import Clock

GONE = "gone"  # the phase of a job that has been cleaned up


class Round(BaseModel, extra="forbid"):
    """The input from the state machine: the job, how many rounds it has had, and whether to end it."""

    job_id: str
    round: int = 0  # in the first round, 0, the job must exist
    stop: str | None = None  # the reason to end the job


def perform(ticker: Ticker, event: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Perform one round. Return the job's phase, and when to call again.

    A job can be cleaned up when its last lease has expired, which may be before its last round. Then this does nothing.
    """
    asked = Round.model_validate(event)
    stop = Failure(kind=FailureKind.INVARIANT, message=asked.stop[: limits.FAILURE_TEXT_MAX]) if asked.stop else None
    try:
        tick = drive(ticker, asked.job_id, clock, stop=stop)
    except NoSuchJobError:
        if asked.round == 0:
            raise
        return {"phase": GONE, "round": asked.round + 1, "wait_s": 0, "done": True}
    return {
        "phase": tick.job.phase.value,
        "round": asked.round + 1,
        "wait_s": ceil(tick.wait_s) if tick.over else ceil(limits.POLL_S),
        "done": tick.swept,
    }


def drive(ticker: Ticker, job_id: str, clock: Clock, *, stop: Failure | None = None) -> Tick:
    """Tick for `limits.ROUND_S`, or until the job is over and only waits for its last lease. Return the last tick."""
    round_ends_at = clock.now() + limits.ROUND_S
    while True:
        tick = ticker.tick(job_id, stop=stop)
        pause_s = min(tick.wait_s, limits.POLL_S)
        if tick.over or clock.now() + pause_s > round_ends_at:
            return tick
        clock.sleep(pause_s)
