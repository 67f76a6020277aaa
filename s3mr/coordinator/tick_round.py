"""Driving: one round of ticks, as tick's function on AWS performs it. Between rounds, Step Functions waits."""

from math import ceil
from typing import Any

from pydantic import BaseModel

from s3mr import limits
from s3mr.coordinator.ticker import NoSuchJobError, Tick, Ticker
from s3mr.model.job import Failure, FailureKind
from s3mr.ports import Clock

GONE = "gone"  # the phase of a job that has been cleaned up


class Round(BaseModel, extra="forbid"):
    """What the state machine asks for: the job, how many rounds have led it so far, and whether to end the job."""

    job_id: str
    round: int = 0  # the first: the job must be there
    stop: str | None = None  # why


def perform(ticker: Ticker, event: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Perform one round; answer where the job stands, and when to ask again.

    A job may be cleaned up as soon as its last lease has run out, before its last round: then nothing is left to do.
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
    """Tick for `limits.ROUND_S`, or until the job is over and waits for its last lease; return the last tick."""
    round_ends_at = clock.now() + limits.ROUND_S
    while True:
        tick = ticker.tick(job_id, stop=stop)
        pause_s = min(tick.wait_s, limits.POLL_S)
        if tick.over or clock.now() + pause_s > round_ends_at:
            return tick
        clock.sleep(pause_s)
