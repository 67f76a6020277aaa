"""Admit to the embedded cloud only clients that hold this run's access key.

Every user of the machine can connect to 127.0.0.1, and so can every web page that you open. So the server checks the
headers of each request before it passes the request to moto, or takes the lock that serialises requests:

1. ``Host`` names this server, and no browser sent the request (``Origin``, ``Sec-Fetch-…``), not even as a preflight.
2. The request names a service of this server and this run's access key, which only this run knows.
3. The signature is valid. S3's covers the headers, so it is checked before the body is read. DynamoDB's covers the
   body, which is read up to DynamoDB's size limit.
"""

import hmac
import io
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NoReturn

from s3mr import limits
from s3mr.local.request_signature import Signature
from s3mr.settings import AccessKey

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_METHODS: Final = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE"))
_BROWSERS: Final = "HTTP_SEC_FETCH_"
_DYNAMODB: Final = "DynamoDB_20120810."  # DynamoDB Streams and the older API use the same signature
_UNSIGNED: Final = frozenset(("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"))  # bodies that are not hashed


class AccessControl:
    """A WSGI application that passes signed requests to the one of ``services`` that the signature names."""

    def __init__(
        self,
        services: Mapping[str, WsgiApp],
        key: AccessKey,
        host: str,
        *,
        recognised: Callable[[Mapping[str, Any]], object] = bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Require ``host`` as the ``Host`` header; call ``recognised`` for each request that names the access key."""
        self._services = services
        self._key = key
        self._host = host
        self._recognised = recognised
        self._now = now

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            service = self._admitted(environ)
        except _RefusedError as refused:
            return refused.answer(environ, start_response)
        return self._services[service](environ, start_response)

    def _admitted(self, environ: dict[str, Any]) -> str:
        """Verify a request, read its body, and return the name of its service."""
        self._refuse_browsers(environ)
        signature = Signature.of(environ)
        if signature is None or signature.service not in self._services:
            _refuse("AccessDenied", "MissingAuthenticationTokenException", "This server only accepts signed requests.")
        if not signature.is_by(self._key):
            _refuse("InvalidAccessKeyId", "UnrecognizedClientException", "The access key is not this run's.")
        self._recognised(environ)
        verify = self._verified_s3 if signature.service == "s3" else self._verified_dynamodb
        body = verify(environ, signature)
        environ["wsgi.input"] = io.BytesIO(body)  # the whole body, so a slow sender does not block others
        return signature.service

    def _refuse_browsers(self, environ: Mapping[str, Any]) -> None:
        if environ.get("HTTP_HOST") != self._host or not environ["RAW_URI"].startswith("/"):
            _refuse("AccessDenied", "AccessDeniedException", "The Host header does not name this server.")
        if "HTTP_ORIGIN" in environ or any(name.startswith(_BROWSERS) for name in environ):
            _refuse("AccessDenied", "AccessDeniedException", "This server refuses requests from browsers.")
        if environ["REQUEST_METHOD"] not in _METHODS:
            _refuse("AccessDenied", "AccessDeniedException", "This server does not support this method.")

    def _verified_s3(self, environ: Mapping[str, Any], signature: Signature) -> bytes:
        promised = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
        self._verify(environ, signature, promised)
        body = _body(environ, bytes_max=limits.PUT_BYTES_MAX)
        if promised not in _UNSIGNED and not hmac.compare_digest(sha256(body).hexdigest().encode(), promised.encode()):
            _refuse(
                "XAmzContentSHA256Mismatch", "", "The body differs from the one that was signed.", "400 Bad Request"
            )
        return body

    def _verified_dynamodb(self, environ: Mapping[str, Any], signature: Signature) -> bytes:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith(_DYNAMODB):
            _refuse("AccessDenied", "UnknownOperationException", "This server does not support this DynamoDB API.")
        body = _body(environ, bytes_max=limits.DYNAMODB_REQUEST_BYTES_MAX)
        self._verify(environ, signature, sha256(body).hexdigest())
        return body

    def _verify(self, environ: Mapping[str, Any], signature: Signature, body_sha256: str) -> None:
        if not signature.fits(environ, body_sha256, self._key):
            _refuse("SignatureDoesNotMatch", "InvalidSignatureException", "The signature is wrong.")
        if not signature.is_recent(self._now()):
            # It is ours, but the clock was set or the machine slept. After a 503, the client signs again.
            message = "The request was signed at another time."
            _refuse("RequestTimeTooSkewed", "InvalidSignatureException", message, "503 Service Unavailable")


@dataclass(frozen=True, slots=True)
class _RefusedError(Exception):
    """A refused request, with S3's error code and DynamoDB's."""

    s3_code: str
    dynamodb_code: str
    message: str
    status: str

    def answer(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if "HTTP_X_AMZ_TARGET" in environ:
            kind = "application/x-amz-json-1.0"
            error = {"__type": f"com.amazonaws.dynamodb.v20120810#{self.dynamodb_code}", "message": self.message}
            body = json.dumps(error).encode()
        else:
            kind = "application/xml"
            body = (
                f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{self.s3_code}</Code>'
                f"<Message>{self.message}</Message></Error>"
            ).encode()
        start_response(self.status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _refuse(s3_code: str, dynamodb_code: str, message: str, status: str = "403 Forbidden") -> NoReturn:
    raise _RefusedError(s3_code, dynamodb_code, message, status)


def _body(environ: Mapping[str, Any], *, bytes_max: int) -> bytes:
    """Read the body of a request, which must have a Content-Length."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if "HTTP_TRANSFER_ENCODING" in environ or not (length.isascii() and length.isdigit()):
        _refuse("MissingContentLength", "SerializationException", "Send a Content-Length.", "411 Length Required")
    if len(length) > len(str(bytes_max)) or int(length) > bytes_max:
        _refuse("EntityTooLarge", "SerializationException", "The body is too large.", "413 Content Too Large")
    body: bytes = environ["wsgi.input"].read(int(length))
    if len(body) < int(length):
        _refuse("IncompleteBody", "SerializationException", "The body ended too soon.", "400 Bad Request")
    return body
