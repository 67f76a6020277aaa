"""Driving: one round of ticks, as tick's function on AWS performs it. Between rounds, Step Functions waits."""

from s3mr import limits
from s3mr.coordinator.ticking import Tick, Ticker
from s3mr.model.job import Failure
from s3mr.ports import Clock


def drive(ticker: Ticker, job_id: str, clock: Clock, *, stop: Failure | None = None) -> Tick:
    """Tick the job for `limits.ROUND_S`, or until nothing is to be done for longer than that; return the last tick.

    A step that follows at once is taken also after that time, as far as it leads to the job's end or a new phase.
    """
    round_ends_at = clock.now() + limits.ROUND_S
    while True:
        tick = ticker.tick(job_id, stop=stop)
        pause_s = min(tick.wait_s, limits.POLL_S)
        if tick.swept or (tick.over and tick.wait_s > limits.ROUND_S) or clock.now() + pause_s > round_ends_at:
            return tick
        clock.sleep(pause_s)
