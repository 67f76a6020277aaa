"""Access control of the embedded cloud: only requests signed with the run's key reach a service."""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3mr import limits
from s3mr.local.access_control import AccessControl, WsgiApp
from s3mr.local.request_signature import SKEW_S_MAX
from s3mr.settings import AccessKey

KEY = AccessKey("0123456789abcdef", "a secret")
HOST = "127.0.0.1:4711"
UNSIGNED = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
PUT = ("PUT", "/bucket/a%20key%2B%C3%A9", b"body")
QUERY = ("GET", "/bucket?prefix=jobs%2F&list-type=2&delimiter=", b"")

Environ = dict[str, Any]
Change = Callable[[Environ], object]


def signed(
    method: str,
    path: str,
    body: bytes,
    *,
    service: str = "s3",
    headers: Mapping[str, str] = {},
    key: AccessKey = KEY,
    host: str = HOST,
    sign_body: bool = True,
) -> Environ:
    """Return a signed request as the server sees it."""
    request = AWSRequest(method, f"http://{host}{path}", {**headers}, body)
    request.context["payload_signing_enabled"] = sign_body
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(Credentials(key.key_id, key.secret), service, "eu-central-1").add_auth(request)
    sent = {"Host": host, **dict(request.headers.items())}
    return environ(method, path, sent, body)


def environ(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Environ:
    parts = urlsplit(path)
    names = {name: name.upper().replace("-", "_") for name in headers}
    return {
        "REQUEST_METHOD": method,
        "RAW_URI": path,
        "PATH_INFO": unquote(parts.path),
        "QUERY_STRING": parts.query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **{(name if name == "CONTENT_TYPE" else f"HTTP_{name}"): headers[header] for header, name in names.items()},
    }


def dynamodb(body: bytes = b"{}", operation: str = "DynamoDB_20120810.PutItem", **more: Any) -> Environ:
    headers = {"X-Amz-Target": operation, "Content-Type": "application/x-amz-json-1.0"}
    return signed("POST", "/", body, service="dynamodb", headers=headers, **more)


def answer(request: Environ, now: Callable[[], float] | None = None) -> tuple[int, bytes, list[str]]:
    """Return status, body and the names of the services that got the request. Each service echoes a body."""
    asked: list[str] = []
    statuses: list[str] = []

    def named(service: str) -> WsgiApp:
        def serve(given: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
            asked.append(service)
            start_response("200 OK", [])
            return [given["wsgi.input"].read()]

        return serve

    door = AccessControl(
        {name: named(name) for name in ("s3", "dynamodb")},
        KEY,
        HOST,
        now=now or datetime.now().astimezone().timestamp,
    )
    body = b"".join(door(request, lambda status, _headers: statuses.append(status)))
    return int(statuses[0].split()[0]), body, asked


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: signed(*PUT),
        lambda: signed(*PUT, sign_body=False),
        lambda: signed(*PUT, headers={"X-Amz-Meta-Name": "  two   spaces ", "Content-Type": "text/plain"}),
        lambda: signed(*QUERY),
        lambda: signed("POST", "/bucket/key?uploads", b""),
        lambda: signed("DELETE", "/bucket/key?uploadId=1&partNumber=2", b""),
    ],
)
def test_an_s3_request_signed_with_the_key_reaches_the_service_with_its_body(
    request_of: Callable[[], Environ],
) -> None:
    request = request_of()
    body = request["wsgi.input"].getvalue()
    assert answer(request) == (200, body, ["s3"])


def test_a_dynamodb_request_signed_with_the_key_reaches_the_service_with_its_body() -> None:
    assert answer(dynamodb(b'{"Key": 1}')) == (200, b'{"Key": 1}', ["dynamodb"])


def test_an_s3_request_with_another_body_than_the_signed_one_is_refused() -> None:
    request = signed(*PUT)
    request["wsgi.input"] = io.BytesIO(b"BODY")
    assert answer(request)[::2] == (400, [])


OTHER = AccessKey(KEY.key_id, "another secret")
CHANGES: dict[str, Change] = {
    "no signature": lambda one: one.pop("HTTP_AUTHORIZATION"),
    "an older signature": lambda one: one.update(HTTP_AUTHORIZATION=f"AWS {KEY.key_id}:c2lnbmF0dXJl"),
    "a bearer": lambda one: one.update(HTTP_AUTHORIZATION=f"Bearer {KEY.secret}"),
    "one digit": lambda one: one.update(HTTP_AUTHORIZATION=one["HTTP_AUTHORIZATION"][:-1] + "_"),
    "another digit": lambda one: one.update(
        HTTP_AUTHORIZATION=one["HTTP_AUTHORIZATION"][:-1] + ("0" if one["HTTP_AUTHORIZATION"][-1] != "0" else "1")
    ),
    "no time": lambda one: one.pop("HTTP_X_AMZ_DATE"),
    "another time": lambda one: one.update(HTTP_X_AMZ_DATE=one["HTTP_X_AMZ_DATE"][:-2] + "_Z"),
    "another method": lambda one: one.update(REQUEST_METHOD="DELETE"),
    "a method of browsers": lambda one: one.update(REQUEST_METHOD="OPTIONS"),
    "another path": lambda one: one.update(RAW_URI=one["RAW_URI"] + "x"),
    "another query": lambda one: one.update(RAW_URI=one["RAW_URI"] + "?acl"),
    "an unsigned header": lambda one: one.update(HTTP_X_AMZ_COPY_SOURCE="/bucket/other"),
    "another host": lambda one: one.update(HTTP_HOST="evil.example:4711"),
    "a name of this host": lambda one: one.update(HTTP_HOST="localhost:4711"),
    "no host": lambda one: one.pop("HTTP_HOST"),
    "two hosts": lambda one: one.update(HTTP_HOST=f"{HOST},{HOST}"),
    "another server, as to a proxy": lambda one: one.update(RAW_URI=f"http://{HOST}{one['RAW_URI']}"),
    "an origin": lambda one: one.update(HTTP_ORIGIN="null"),
    "our own origin": lambda one: one.update(HTTP_ORIGIN=f"http://{HOST}"),
    "a browser's fetch": lambda one: one.update(HTTP_SEC_FETCH_SITE="cross-site"),
    "a browser's image": lambda one: one.update(HTTP_SEC_FETCH_DEST="image"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("request_of", [lambda: signed(*PUT, sign_body=False), dynamodb], ids=["s3", "dynamodb"])
def test_a_changed_request_is_refused_and_reaches_no_service(request_of: Callable[[], Environ], change: Change) -> None:
    request = request_of()
    change(request)
    status, body, asked = answer(request)
    assert (status, asked) == (403, [])
    refusal = json.loads(body)["__type"] if "HTTP_X_AMZ_TARGET" in request else body.decode()
    assert "Exception" in refusal or "<Error><Code>" in refusal


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: signed(*PUT, key=AccessKey(KEY.key_id, "another secret")),
        lambda: signed(*PUT, key=AccessKey("another id", KEY.secret)),
        lambda: signed(*PUT, host="localhost:4711"),
        lambda: signed(*PUT, host="rebound.example:4711"),
        lambda: signed(*PUT, service="execute-api"),
        lambda: dynamodb(key=AccessKey(KEY.key_id, "another secret")),
        lambda: dynamodb(operation="DynamoDBStreams_20120810.ListStreams"),
        lambda: signed("POST", "/", b"{}", service="dynamodb"),
        lambda: signed("POST", "/", b"Action=ListUsers", service="iam"),
        lambda: environ("POST", "/moto-api/reset", {"Host": HOST}, b""),
        lambda: environ("GET", "/moto-api/", {"Host": HOST}, b""),
        lambda: environ("GET", "/bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0", {"Host": HOST}, b""),
        lambda: environ("POST", "/bucket", {"Host": HOST, "Content-Type": "multipart/form-data; boundary=x"}, b"--x--"),
    ],
)
def test_a_wrong_key_a_wrong_service_and_motos_own_api_are_refused(request_of: Callable[[], Environ]) -> None:
    assert answer(request_of())[::2] == (403, [])


def test_a_dynamodb_request_with_another_body_than_the_signed_one_is_refused() -> None:
    request = dynamodb(b'{"a":1}')
    request["wsgi.input"] = io.BytesIO(b'{"a":2}')
    assert answer(request)[::2] == (403, [])


class UnreadBody(io.BytesIO):
    """A body that must not be read."""

    def read(self, _size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: signed(*PUT, key=OTHER),
        lambda: signed(*PUT, key=AccessKey("another id", KEY.secret)),
        lambda: dynamodb(key=AccessKey("another id", KEY.secret)),
        lambda: environ("PUT", "/bucket/key", {"Host": HOST}, b""),
    ],
)
def test_a_body_is_not_read_before_its_sender_is_known(request_of: Callable[[], Environ]) -> None:
    request = {**request_of(), "CONTENT_LENGTH": "5000000000", "wsgi.input": UnreadBody()}
    assert answer(request)[::2] == (403, [])


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"CONTENT_LENGTH": str(limits.DYNAMODB_REQUEST_BYTES_MAX + 1)}, 413),
        ({"CONTENT_LENGTH": "9" * 5000}, 413),
        ({"CONTENT_LENGTH": "-1"}, 411),
        ({"CONTENT_LENGTH": "1_0"}, 411),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411),
    ],
)
def test_a_body_without_a_length_or_over_the_limit_is_refused_unread(change: Environ, status: int) -> None:
    assert answer({**dynamodb(), "wsgi.input": UnreadBody(), **change})[::2] == (status, [])


def test_a_truncated_body_is_refused() -> None:
    assert answer({**signed(*PUT, sign_body=False), "CONTENT_LENGTH": "5"})[::2] == (400, [])


@pytest.mark.parametrize("off_s", [-SKEW_S_MAX - 5, SKEW_S_MAX + 5])
def test_a_signature_from_another_time_is_refused_so_that_clients_sign_again(off_s: float) -> None:
    def elsewhen() -> float:
        return (datetime.now().astimezone() + timedelta(seconds=off_s)).timestamp()

    assert answer(signed(*PUT), now=elsewhen)[::2] == (503, [])
    assert answer(signed(*PUT, key=OTHER), now=elsewhen)[::2] == (403, [])


def test_a_caller_with_the_key_is_recognised_before_the_body_is_read() -> None:
    recognised: list[str] = []
    door = AccessControl({}, KEY, HOST, recognised=lambda one: recognised.append(one["RAW_URI"]))
    statuses: list[str] = []
    door({**signed(*PUT)}, lambda status, _headers: statuses.append(status))
    assert (recognised, statuses[0][:3]) == ([], "403")  # the named service does not exist

    door = AccessControl({"s3": lambda *_: []}, KEY, HOST, recognised=lambda one: recognised.append(one["RAW_URI"]))
    door({**signed(*PUT, key=AccessKey("another id", "s"))}, lambda *_: None)
    assert recognised == []
    door({**signed(*PUT)}, lambda *_: None)
    assert recognised == [PUT[1]]


def test_the_empty_body_also_has_a_hash() -> None:
    request = signed("GET", "/bucket/key", b"")
    assert request["HTTP_X_AMZ_CONTENT_SHA256"] == sha256(b"").hexdigest()
    assert answer(request) == (200, b"", ["s3"])
