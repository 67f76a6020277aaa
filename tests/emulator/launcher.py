"""Start MiniStack, an independent AWS emulator, with functions as destinations of asynchronous invocations.

It runs in MiniStack's own environment (``.venv/emulator``) and imports no code of s3mr. MiniStack sends results of
asynchronous invocations only to queues and topics, but s3mr's destination is the record function. All else is
unchanged.
"""

import contextvars
import threading
import time
import uuid
from typing import Any

from ministack.app import main
from ministack.services import lambda_svc

PUBLISHED = lambda_svc.invoke_async_with_retry


def invoke(function: dict[str, Any], event: Any) -> None:
    """Invoke asynchronously, and send the result to the destination."""
    version = function.get("config") or function
    destinations = _destinations(version)
    if not any(":lambda:" in arn for arn in destinations.values()):
        PUBLISHED(function, event)
        return
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_run, function, version, event, destinations), daemon=True).start()


def _destinations(version: dict[str, Any]) -> dict[str, str]:
    """Return the destinations of the invoked version, by outcome."""
    latest = lambda_svc._functions.get(version.get("FunctionName"), {})
    settings = (latest.get("event_invoke_configs") or {}).get(version.get("Version") or "$LATEST") or {}
    named = settings.get("DestinationConfig") or {}
    return {outcome: one["Destination"] for outcome, one in named.items() if one.get("Destination")}


def _run(function: Any, version: dict[str, Any], event: Any, destinations: dict[str, str]) -> None:
    account, region = lambda_svc._account_region_from_function_config(version)
    lambda_svc._request_account_id.set(account)
    lambda_svc._request_region.set(region)
    ended = lambda_svc._execute_function(function, event)
    failed = bool(ended.get("error"))
    if (arn := destinations.get("OnFailure" if failed else "OnSuccess")) is None:
        return
    record = {
        "version": "1.0",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": version["FunctionArn"],
            "condition": "RetriesExhausted" if failed else "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": version.get("Version") or "$LATEST"},
        "responsePayload": ended.get("body"),
    }
    told = lambda_svc._functions.get(arn.split(":")[6])
    if told is None:
        lambda_svc.logger.error("the destination %s does not exist", arn)
    else:
        invoke(told, record)


if __name__ == "__main__":
    lambda_svc.invoke_async_with_retry = invoke
    main()
