"""Execute attempts of map tasks, in a child process that has run no other user's code."""

import os
from typing import Any

from s3mr.processes.process_start import without_collections

with without_collections():
    from telemetry import about, logger, user_said

    from s3mr.processes.function_host import WorkerHost

    host = WorkerHost(os.environ, user_said)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    about(event)
    report = host.handle(event)
    logger.info("executed", worker=report["worker"], failure=report["failure"])
    return report
