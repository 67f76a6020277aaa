"""Lambda's API over HTTP: the operations that clients use here, and the permission that each one needs."""

import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from tests.deployed.harness.calls import AwsCall
from tests.deployed.harness.functions import Function, NoSuchFunction, Version
from tests.deployed.harness.lambda_service import ASYNC_BYTES_MAX, SYNC_BYTES_MAX, LambdaService, Throttled
from tests.deployed.harness.needs import Need

ACCOUNT_CONCURRENCY: Final = 1_000
_PATH: Final = re.compile(
    r"/\d{4}-\d\d-\d\d/(?:functions/(?P<name>[^/]+)(?P<rest>/.*)?|(?P<account>account-settings))/?"
)


@dataclass(frozen=True)
class ApiResponse:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200) -> "ApiResponse":
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    @classmethod
    def error(cls, status: int, kind: str, message: str, **more: str) -> "ApiResponse":
        body = json.dumps({"Type": "User", "Message": message, "message": message, **more}).encode()
        return cls(status, body, {"Content-Type": "application/json", "x-amzn-ErrorType": kind})


class LambdaApi:
    """Answers requests to the service ``lambda``."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service

    def needs(self, call: AwsCall) -> list[Need]:
        """Return the permissions that the caller must have."""
        operation, resource = _asked(call)
        return [Need(f"lambda:{operation}", resource)]

    def answer(self, call: AwsCall) -> ApiResponse:
        """Answer an authorized request."""
        match = _PATH.fullmatch(call.path)
        try:
            if match and match["account"]:
                return ApiResponse.of({"AccountLimit": _limits(), "AccountUsage": {}})
            if not match:
                return ApiResponse.error(404, "UnknownOperationException", call.path)
            function, qualifier = self._service.functions.find(match["name"], call.query.get("Qualifier"))
            return self._about(call, match["rest"] or "", function, qualifier)
        except NoSuchFunction as error:
            return ApiResponse.error(404, "ResourceNotFoundException", f"Function not found: {error}")
        except Throttled:
            return ApiResponse.error(
                429,
                "TooManyRequestsException",
                "Rate Exceeded.",
                Reason="ReservedFunctionConcurrentInvocationLimitExceeded",
            )

    def _about(self, call: AwsCall, rest: str, function: Function, qualifier: str) -> ApiResponse:
        answers: dict[str, Callable[[], ApiResponse]] = {
            "/invocations": lambda: self._invoke(call, function, qualifier),
            "": lambda: ApiResponse.of(_function(function, function.version(qualifier))),
            "/configuration": lambda: ApiResponse.of(_configuration(function.version(qualifier))),
            "/versions": lambda: ApiResponse.of(
                {"Versions": [_configuration(one) for one in (function.latest, *function.versions.values())]}
            ),
            "/aliases": lambda: ApiResponse.of({"Aliases": [_alias(function, name) for name in function.aliases]}),
            "/event-invoke-config": lambda: _invoke_config(function, qualifier),
        }
        if rest.startswith("/aliases/"):
            name = rest.removeprefix("/aliases/")
            if name not in function.aliases:
                raise NoSuchFunction(f"{function.arn}:{name}")
            return ApiResponse.of(_alias(function, name))
        if rest not in answers:
            return ApiResponse.error(404, "UnknownOperationException", call.path)
        return answers[rest]()

    def _invoke(self, call: AwsCall, function: Function, qualifier: str) -> ApiResponse:
        kind = call.header("x-amz-invocation-type") or "RequestResponse"
        payload = call.body or b"null"
        if len(payload) > (ASYNC_BYTES_MAX if kind == "Event" else SYNC_BYTES_MAX):
            return ApiResponse.error(413, "RequestTooLargeException", f"{len(payload)} byte payload is too large")
        try:
            json.loads(payload)
        except ValueError:
            return ApiResponse.error(400, "InvalidRequestContentException", "Could not parse request body into json")
        if kind == "DryRun":
            return ApiResponse(HTTPStatus.NO_CONTENT)
        if kind == "Event":
            request_id = self._service.accept(function, qualifier, payload)
            return ApiResponse(HTTPStatus.ACCEPTED, headers={"x-amzn-RequestId": request_id})
        request_id = str(uuid.uuid4())
        version, outcome = self._service.invoke(function, qualifier, payload, request_id)
        headers = {"x-amzn-RequestId": request_id, "X-Amz-Executed-Version": version.number}
        if outcome.failed:
            headers["X-Amz-Function-Error"] = "Unhandled"
        return ApiResponse(HTTPStatus.OK, outcome.payload, headers)


def _asked(call: AwsCall) -> tuple[str, str]:
    match = _PATH.fullmatch(call.path)
    if not match or match["account"]:
        return "GetAccountSettings", "*"
    rest = match["rest"] or ""
    name = match["name"]
    named = name if name.startswith("arn:") else _bare_arn(name)
    qualifier = call.query.get("Qualifier")
    unqualified = ":".join(named.split(":")[:7])
    operation = {
        "": "GetFunction",
        "/invocations": "InvokeFunction",
        "/configuration": "GetFunctionConfiguration",
        "/versions": "ListVersionsByFunction",
        "/aliases": "ListAliases",
        "/event-invoke-config": "GetFunctionEventInvokeConfig",
    }.get(rest, "GetAlias" if rest.startswith("/aliases/") else f"{call.method}{rest}")
    if operation in ("GetAlias", "ListAliases", "ListVersionsByFunction"):
        return operation, unqualified
    return operation, f"{unqualified}:{qualifier}" if qualifier else named


def _bare_arn(name: str) -> str:
    from tests.deployed.harness.needs import arn

    return arn("lambda", f"function:{name}")


def _limits() -> dict[str, int]:
    return {"ConcurrentExecutions": ACCOUNT_CONCURRENCY, "UnreservedConcurrentExecutions": ACCOUNT_CONCURRENCY}


def _configuration(version: Version) -> dict[str, Any]:
    return {
        "FunctionName": version.function,
        "FunctionArn": version.arn,
        "Version": version.number,
        "Runtime": version.runtime,
        "Role": version.role,
        "Handler": version.handler,
        "Timeout": version.timeout_s,
        "MemorySize": version.memory_mb,
        "CodeSha256": base64.b64encode(bytes.fromhex(version.code_sha)).decode(),
        "Environment": {"Variables": dict(version.environment)},
        "Architectures": [version.architecture],
        "LoggingConfig": {"LogGroup": version.log_group, "LogFormat": version.log_format},
        "State": "Active",
        "LastUpdateStatus": "Successful",
    }


def _function(function: Function, version: Version) -> dict[str, Any]:
    reserved = {} if function.reserved is None else {"Concurrency": {"ReservedConcurrentExecutions": function.reserved}}
    return {"Configuration": _configuration(version), "Code": {"RepositoryType": "S3"}, "Tags": {}, **reserved}


def _alias(function: Function, name: str) -> dict[str, Any]:
    return {"AliasArn": f"{function.arn}:{name}", "Name": name, "FunctionVersion": function.aliases[name]}


def _invoke_config(function: Function, qualifier: str) -> ApiResponse:
    config = function.invoke_configs.get(qualifier)
    if config is None:
        return ApiResponse.error(404, "ResourceNotFoundException", f"The function {quote(function.name)} has no config")
    destinations = {"OnSuccess": config.on_success, "OnFailure": config.on_failure}
    return ApiResponse.of(
        {
            "FunctionArn": f"{function.arn}:{qualifier}",
            "MaximumRetryAttempts": config.retries_max,
            "MaximumEventAgeInSeconds": config.event_age_s_max,
            "DestinationConfig": {name: {"Destination": arn} for name, arn in destinations.items() if arn},
        }
    )
