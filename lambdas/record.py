"""Record the results of attempts. Lambda sends them here when a worker function returns or dies."""

import os
from typing import Any

from s3mr.processes.process_start import without_collections

with without_collections():
    from telemetry import logger, metrics, recorded

    from s3mr.coordinator.destinations import receive
    from s3mr.settings import Settings
    from s3mr.wiring import Stack

    report_key = os.environ["S3MR_REPORT_KEY"]
    recorder = Stack(Settings.from_environment(os.environ)).recorder()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    report, verdict = receive(recorder, event, report_key)
    recorded(report, verdict)
    return {"verdict": verdict}
