"""The entrance of the cloud, a WSGI application: each request is parsed, authorized by IAM and answered in turn.

moto is exact only for one request at a time. Our own service answers Lambda's requests, and blocks no other request.
"""

import json
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

from tests.deployed.harness.access import Access, Principal, Refused, UnknownCaller
from tests.deployed.harness.calls import AwsCall, read_call
from tests.deployed.harness.constants import ACCOUNT, PARTITION, REGION
from tests.deployed.harness.lambda_api import ApiResponse, LambdaApi
from tests.deployed.harness.needs import Need, needs_of
from tests.deployed.harness.resources import BUCKET_POLICIES, encryption_key
from tests.deployed.harness.s3_needs import bucket_and_key, is_batch_delete, key_action, keys_to_delete

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Gate:
    """Forwards authorized requests to moto's ``application`` or to Lambda.

    ``encrypted`` is whether requests count as sent over TLS. The response to a request that ``loses`` selects is lost:
    the request takes effect, and the caller gets a server error.
    """

    def __init__(self, application: Wsgi, access: Access, functions: LambdaApi) -> None:
        self._application = application
        self._access = access
        self._functions = functions
        self._turn = threading.Lock()
        self._completed: set[str] = set()
        self.encrypted = True
        self.loses: Callable[[AwsCall], bool] = lambda _call: False

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = read_call(environ)
        try:
            principal = self._access.principal(call.key_id, call.token)
            answer = self._lambda(call, principal) if call.service == "lambda" else self._moto(call, principal)
        except UnknownCaller:
            answer = refusal(
                call, "UnrecognizedClientException", "The security token included in the request is invalid."
            )
        except Refused as refused:
            answer = refusal(call, "AccessDeniedException", str(refused))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers.items()))
        return [answer.body]

    def _lambda(self, call: AwsCall, principal: Principal) -> ApiResponse:
        self._access.check(principal, self._functions.needs(call))
        return self._functions.answer(call)

    def _moto(self, call: AwsCall, principal: Principal) -> ApiResponse:
        if call.service != "s3":
            self._access.check(principal, needs_of(call))
            return self._forward(call)
        bucket, key = bucket_and_key(call)
        if is_batch_delete(call):
            return self._delete_several(call, principal, bucket)
        for need in self._s3_needs(call, bucket):
            self._access.check(principal, [need], resource_policy=BUCKET_POLICIES.get(bucket))
        answer = self._lost_upload(call, bucket) or self._forward(call)
        if call.method == "POST" and "uploadId" in call.query and answer.status == HTTPStatus.OK:
            self._completed.add(call.query["uploadId"])
        if answer.status < HTTPStatus.BAD_REQUEST and self.loses(call):
            answer = s3_error(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error.")
        missing = answer.status == HTTPStatus.NOT_FOUND and key is not None and call.method in {"GET", "HEAD"}
        if missing and not self._may(principal, "s3:ListBucket", bucket, None):
            raise Refused(f"{principal.caller} cannot find out if {key} exists")
        return answer

    def _s3_needs(self, call: AwsCall, bucket: str) -> Iterable[Need]:
        transport = {"aws:securetransport": ("true" if self.encrypted else "false",)}
        for need in needs_of(call):
            yield Need(need.action, need.resource, {**need.context, **transport})
        key, action = encryption_key(bucket), key_action(call)
        if key and action:
            yield Need(action, key, {"kms:viaservice": (f"s3.{REGION}.amazonaws.com",)})

    def _may(self, principal: Principal, action: str, bucket: str, key: str | None) -> bool:
        resource = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key is not None else "")
        return self._access.allows(principal, Need(action, resource), resource_policy=BUCKET_POLICIES.get(bucket))

    def _delete_several(self, call: AwsCall, principal: Principal, bucket: str) -> ApiResponse:
        """Answer DeleteObjects: each key is authorized by itself, and the response lists the refused ones."""
        keys = keys_to_delete(call)
        refused = []
        for key in keys:
            try:
                need = Need("s3:DeleteObject", f"arn:aws:s3:::{bucket}/{key}")
                self._access.check(principal, [need], resource_policy=BUCKET_POLICIES.get(bucket))
            except Refused:
                refused.append(key)
        if not refused:
            return self._forward(call)
        allowed = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys if key not in refused)
        if allowed:
            self._forward(call.with_body(f'<Delete xmlns="{NAMESPACE}">{allowed}</Delete>'.encode()))
        errors = "".join(
            f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            for key in refused
        )
        body = f'<?xml version="1.0"?><DeleteResult xmlns="{NAMESPACE}">{errors}</DeleteResult>'
        return ApiResponse(200, body.encode(), {"Content-Type": "application/xml"})

    def _lost_upload(self, call: AwsCall, bucket: str) -> ApiResponse | None:
        """Return NoSuchUpload as S3 does; moto answers HTTP 500 or completes again."""
        from moto.s3.models import s3_backends

        upload = call.query.get("uploadId")
        buckets = s3_backends[ACCOUNT][PARTITION].buckets
        known = bucket in buckets and upload in buckets[bucket].multiparts and upload not in self._completed
        if not upload or known:
            return None
        return s3_error(HTTPStatus.NOT_FOUND, "NoSuchUpload", "The specified upload does not exist.")

    def _forward(self, call: AwsCall) -> ApiResponse:
        answered: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            answered.extend((int(status.split(" ", 1)[0]), dict(headers)))

        with self._turn:
            chunks = self._application(call.for_application(), start_response)
            try:
                body = b"".join(chunks)
            finally:
                if hasattr(chunks, "close"):
                    chunks.close()
        status, headers = answered
        return ApiResponse(status, body, headers)


def refusal(call: AwsCall, kind: str, message: str) -> ApiResponse:
    """Return a refusal in the format of the called service."""
    status = HTTPStatus.FORBIDDEN
    if call.service == "s3":
        code = "AccessDenied" if kind == "AccessDeniedException" else "InvalidAccessKeyId"
        return s3_error(status, code, message) if call.method != "HEAD" else ApiResponse(status)
    if call.service == "lambda":
        return ApiResponse.error(status, kind, message)
    if call.parameters.get("Action"):  # the query protocol
        code = "AccessDenied" if kind == "AccessDeniedException" else "InvalidClientTokenId"
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        return ApiResponse(status, f"<ErrorResponse>{error}</ErrorResponse>".encode(), {"Content-Type": "text/xml"})
    body = json.dumps({"__type": kind, "message": message, "Message": message})
    return ApiResponse(HTTPStatus.BAD_REQUEST, body.encode(), {"Content-Type": "application/x-amz-json-1.0"})


def s3_error(status: int, code: str, message: str) -> ApiResponse:
    """Return an error in S3's format."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>'
    )
    return ApiResponse(status, body.encode(), {"Content-Type": "application/xml"})
