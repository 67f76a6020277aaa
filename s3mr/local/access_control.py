"""The door of the embedded cloud: nobody gets past it but who holds this run's access key.

Anybody on the machine can connect to 127.0.0.1, and so can every web page that its user looks at. So each request is
judged by its headers before moto, or the one turn that there is, hears of it:

1. It is for this very server (``Host``), and no browser sends it (``Origin``, ``Sec-Fetch-…``): not even a preflight.
2. It names a service that is served here, and this run's access key, which nobody else can know.
3. Its signature is right. S3's covers the headers, and the body is not read before; DynamoDB's covers the body, of
   which no more is read than DynamoDB takes.
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
_DYNAMODB: Final = "DynamoDB_20120810."  # its streams, and its older API, are signed alike
_UNSIGNED: Final = frozenset(("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"))  # bodies that are not hashed


class AccessControl:
    """An application that lets signed requests through to ``services``, by the name that is signed."""

    def __init__(
        self,
        services: Mapping[str, WsgiApp],
        key: AccessKey,
        host: str,
        *,
        recognised: Callable[[Mapping[str, Any]], object] = bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``host`` is what requests must name as such; ``recognised`` is told of each that names the access key."""
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
        """Verify a request, read its body, and return the service that it is for."""
        self._refuse_browsers(environ)
        signature = Signature.of(environ)
        if signature is None or signature.service not in self._services:
            _refuse("AccessDenied", "MissingAuthenticationTokenException", "Only signed requests are served here.")
        if not signature.is_by(self._key):
            _refuse("InvalidAccessKeyId", "UnrecognizedClientException", "The access key is not this run's.")
        self._recognised(environ)
        verify = self._verified_s3 if signature.service == "s3" else self._verified_dynamodb
        body = verify(environ, signature)
        environ["wsgi.input"] = io.BytesIO(body)  # it is whole: a slow sender holds nobody up
        return signature.service

    def _refuse_browsers(self, environ: Mapping[str, Any]) -> None:
        if environ.get("HTTP_HOST") != self._host or not environ["RAW_URI"].startswith("/"):
            _refuse("AccessDenied", "AccessDeniedException", "This server has another name.")
        if "HTTP_ORIGIN" in environ or any(name.startswith(_BROWSERS) for name in environ):
            _refuse("AccessDenied", "AccessDeniedException", "Browsers are not served here.")
        if environ["REQUEST_METHOD"] not in _METHODS:
            _refuse("AccessDenied", "AccessDeniedException", "This method is not served here.")

    def _verified_s3(self, environ: Mapping[str, Any], signature: Signature) -> bytes:
        promised = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
        self._verify(environ, signature, promised)
        body = _body(environ, bytes_max=limits.PUT_BYTES_MAX)
        if promised not in _UNSIGNED and not hmac.compare_digest(sha256(body).hexdigest().encode(), promised.encode()):
            _refuse("XAmzContentSHA256Mismatch", "", "The body is not the one that was signed.", "400 Bad Request")
        return body

    def _verified_dynamodb(self, environ: Mapping[str, Any], signature: Signature) -> bytes:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith(_DYNAMODB):
            _refuse("AccessDenied", "UnknownOperationException", "This API of DynamoDB is not served here.")
        body = _body(environ, bytes_max=limits.DYNAMODB_REQUEST_BYTES_MAX)
        self._verify(environ, signature, sha256(body).hexdigest())
        return body

    def _verify(self, environ: Mapping[str, Any], signature: Signature, body_sha256: str) -> None:
        if not signature.fits(environ, body_sha256, self._key):
            _refuse("SignatureDoesNotMatch", "InvalidSignatureException", "The signature is wrong.")
        if not signature.is_recent(self._now()):  # ours, and the clock was set, or the machine slept: sign it anew
            message = "The request was signed at another time."
            _refuse("RequestTimeTooSkewed", "InvalidSignatureException", message, "503 Service Unavailable")


@dataclass(frozen=True, slots=True)
class _RefusedError(Exception):
    """A request that is not let through, in S3's words and in DynamoDB's."""

    s3_code: str
    dynamodb_code: str
    message: str
    status: str

    def answer(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if "HTTP_X_AMZ_TARGET" in environ:
            kind = "application/x-amz-json-1.0"
            said = {"__type": f"com.amazonaws.dynamodb.v20120810#{self.dynamodb_code}", "message": self.message}
            body = json.dumps(said).encode()
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
    """Read the body of a request by its length, which it must tell."""
    said = environ.get("CONTENT_LENGTH") or "0"
    if "HTTP_TRANSFER_ENCODING" in environ or not (said.isascii() and said.isdigit()):
        _refuse("MissingContentLength", "SerializationException", "Send a Content-Length.", "411 Length Required")
    if len(said) > len(str(bytes_max)) or int(said) > bytes_max:
        _refuse("EntityTooLarge", "SerializationException", "The body is too large.", "413 Content Too Large")
    body: bytes = environ["wsgi.input"].read(int(said))
    if len(body) < int(said):
        _refuse("IncompleteBody", "SerializationException", "The body ended too soon.", "400 Bad Request")
    return body
