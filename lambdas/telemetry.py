"""Write the functions' logs, as JSON lines with job, task, attempt and worker, and their metrics, in EMF."""

from collections.abc import Mapping
from typing import Any

import built  # noqa: F401 - before anything that imports compiled code
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from s3mr.coordinator.recorder import Verdict
from s3mr.model.report import Report

logger = Logger()
metrics = Metrics()


def about(event: Mapping[str, Any]) -> None:
    """Add the job and the task to every log line until the next invocation."""
    named = event.get("spec", event)
    told = {"job_id": named.get("job_id")} | {name: event.get(name) for name in ("phase", "task", "attempt")}
    logger.append_keys(**{name: value for name, value in told.items() if value is not None})


def user_said(line: str) -> None:
    """Log a line that user code printed."""
    logger.info(line, stream="user")


def recorded(report: Report | None, verdict: Verdict) -> None:
    """Log and count the verdict on a report."""
    metrics.add_metric(f"Reports{verdict.capitalize()}", MetricUnit.Count, 1)
    if report is None:
        logger.warning("unreadable report")
        return
    about(report.model_dump(include={"job_id", "phase", "task", "attempt"}))
    logger.append_keys(worker=report.worker)
    failure = report.failure.model_dump(mode="json", include={"kind", "message"}) if report.failure else None
    logger.info("recorded", verdict=verdict, failure=failure)
    if verdict is Verdict.IGNORED and report.manifest:
        metrics.add_metric("DuplicatesIgnored", MetricUnit.Count, 1)
    if verdict is Verdict.WON and report.manifest:
        counters = report.manifest.counters
        metrics.add_metric("Tasks", MetricUnit.Count, 1)
        metrics.add_metric("RecordsIn", MetricUnit.Count, counters.records_in)
        metrics.add_metric("BytesIn", MetricUnit.Bytes, counters.bytes_in)
        metrics.add_metric("RecordsOut", MetricUnit.Count, counters.records_out)
        metrics.add_metric("BytesOut", MetricUnit.Bytes, counters.bytes_out)
