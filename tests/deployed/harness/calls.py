"""Parse a request to AWS: who signed it, for which service, which operation, with which parameters.

It reads the HTTP request of a client: the services' JSON, query and REST protocols.
"""

import io
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

_TARGETED = "HTTP_X_AMZ_TARGET"


@dataclass(frozen=True)
class AwsCall:
    """One request."""

    environ: dict[str, Any]
    body: bytes
    key_id: str
    token: str
    region: str
    service: str
    query: dict[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    @property
    def path(self) -> str:
        """The decoded path."""
        return unquote(self.environ.get("REQUEST_URI", self.environ["PATH_INFO"]).split("?", 1)[0])

    def header(self, name: str) -> str | None:
        """Return the header of that name, if it was sent."""
        key = name.upper().replace("-", "_")
        value = self.environ.get(key if key == "CONTENT_TYPE" else f"HTTP_{key}")
        return None if value is None else str(value)

    @cached_property
    def operation(self) -> str:
        """The operation, for services that name it in the request; empty for the REST services."""
        if _TARGETED in self.environ:
            return str(self.environ[_TARGETED]).rpartition(".")[2]
        if "/operation/" in self.path:  # Smithy's RPC protocol
            return self.path.rpartition("/")[2]
        return str(self.parameters.get("Action", ""))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the operation."""
        if _TARGETED in self.environ:
            return dict(json.loads(self.body or b"{}"))
        if (self.header("content-type") or "").startswith("application/x-www-form-urlencoded"):
            return {name: values[0] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}
        return {}

    def with_body(self, body: bytes) -> "AwsCall":
        """Return the same request with another body."""
        environ = {**self.environ, "CONTENT_LENGTH": str(len(body))}
        return AwsCall(environ, body, self.key_id, self.token, self.region, self.service, self.query)

    def for_application(self) -> dict[str, Any]:
        """Return the request as a new WSGI environment."""
        return {**self.environ, "wsgi.input": io.BytesIO(self.body), "CONTENT_LENGTH": str(len(self.body))}


def read_call(environ: dict[str, Any]) -> AwsCall:
    """Read a request to its end, so that a slow sender blocks no other request."""
    if environ.get("HTTP_TRANSFER_ENCODING") == "chunked":
        body = environ["wsgi.input"].read()
        del environ["HTTP_TRANSFER_ENCODING"]
    else:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    query = {
        name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).items()
    }
    scope, token = _signed(environ, query)
    key_id, _, region, service = (*scope.split("/"), "", "", "", "")[:4]
    return AwsCall(environ, body, key_id, token, region, service, query)


def _signed(environ: dict[str, Any], query: dict[str, str]) -> tuple[str, str]:
    """Return the credential scope and session token of a version 4 signature, from the header or a presigned URL."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    if "Credential=" in authorization:
        scope = authorization.split("Credential=", 1)[1].split(",", 1)[0]
        return scope, environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
    return query.get("X-Amz-Credential", ""), query.get("X-Amz-Security-Token", "")
