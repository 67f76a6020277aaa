"""Drive a job for one round, and return when to call again."""

import os
from typing import Any

from s3mr.processes.process_start import without_collections

with without_collections():
    from telemetry import about, logger

    from s3mr.coordinator.tick_round import perform
    from s3mr.settings import Settings
    from s3mr.wiring import Stack

    stack = Stack(Settings.from_environment(os.environ))
    ticker = stack.deployed_ticker(capacity=int(os.environ["S3MR_WORKERS_MAX"]))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    about(event)
    answer = perform(ticker, event, stack.clock)
    logger.info("ticked", **answer)
    return answer
