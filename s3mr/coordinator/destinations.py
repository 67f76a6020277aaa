"""Receive reports that Lambda's destinations deliver.

A worker's role may invoke record, so everything in an event may come from user code. It is read as data, and trusted
only for the attempt that its token belongs to. Source: AWS Lambda developer guide, "Capturing records of Lambda
asynchronous invocations".
"""

from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from s3mr import limits
from s3mr.coordinator.recorder import Recorder, Verdict
from s3mr.model.job import Failure, FailureKind
from s3mr.model.report import Report, TaskRequest

_MESSAGE_MAX = 1_000
_NO_ROOM = {
    "EventAgeExceeded": f"Lambda had no free capacity to start it within {limits.EVENT_AGE_S:.0f} s",
    "ZeroReservedConcurrency": "its function is switched off: its reserved concurrency is 0; set "
    "MapReservedConcurrency and ReduceReservedConcurrency to -1, or to at least 1, and redeploy",
}
_ENDED = f"Runtime exited with error: exit status {limits.ENVIRONMENT_ENDED_STATUS}"


class _Context(BaseModel):
    condition: Literal["Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"]


class _Delivery(BaseModel):
    """The fields of a destination's record that s3mr uses. A payload is missing if it was too large."""

    context: _Context = Field(alias="requestContext")
    request: Any = Field(default=None, alias="requestPayload")
    response: Any = Field(default=None, alias="responsePayload")


def receive(recorder: Recorder, event: object, report_key: str | None = None) -> tuple[Report | None, Verdict]:
    """Record the report that a destination delivered. Return the report and its verdict.

    With ``report_key``, a worker's report must carry the mark of the worker function's own process. So user code that
    obtained the token of another attempt cannot use it.

    An event that is not a report changes nothing, and the attempt's lease expires: Lambda left out the payloads, or
    user code made the event up.
    """
    try:
        delivery = _Delivery.model_validate(event)
        report = _report(delivery)
    except ValidationError:
        return None, Verdict.UNREADABLE
    unmarked = report_key and delivery.context.condition == "Success" and not report.is_marked(report_key)
    return report, recorder.record(report, forged=bool(unmarked))


def _report(delivery: _Delivery) -> Report:
    if delivery.context.condition == "Success":
        return Report.model_validate(delivery.response)
    request = TaskRequest.model_validate(delivery.request)
    where = {"phase": request.phase, "task": request.task, "attempt": request.attempt}
    no_room = _NO_ROOM.get(delivery.context.condition)
    if no_room:
        kind, message = FailureKind.NO_ROOM, no_room
    elif (error := _error(delivery.response)).endswith(_ENDED):
        kind, message = (
            FailureKind.TRANSIENT,
            "its environment ended, because it could not remove everything that earlier code left",
        )
    else:
        kind, message = FailureKind.CRASH, f"the function died: {error}"
    failure = Failure(kind=kind, message=message, **where)
    return Report(job_id=request.spec.job_id, token=request.token, worker=None, failure=failure, **where)


def _error(response: object) -> str:
    """Return why a function died, from ``{"errorMessage": "… Task timed out after 900.00 seconds"}``."""
    message = response.get("errorMessage") if isinstance(response, dict) else None
    if not isinstance(message, str) or not message:
        return "Lambda gave no reason"
    return message[:_MESSAGE_MAX].encode("utf-8", "backslashreplace").decode()  # JSON can contain lone surrogates
