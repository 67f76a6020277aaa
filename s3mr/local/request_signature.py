"""Verify the AWS Signature Version 4 of a request, as S3 and DynamoDB do.

Only the ``Authorization`` header counts, which our own clients send. Presigned URLs and signed forms are not accepted.

Source: "Signature Version 4 signing process", AWS General Reference; "Authenticating Requests", Amazon S3 API.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final, Self

from s3mr.settings import AccessKey

SKEW_S_MAX: Final = 900.0  # between the signature's time and ours, as AWS allows

_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key_id>[^/,\s]{1,200})/(?P<date>\d{8})/(?P<region>[a-z0-9-]{1,40})"
    r"/(?P<service>[a-z0-9-]{1,40})/aws4_request, SignedHeaders=(?P<headers>[a-z0-9;-]{1,4000}), "
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_TIME: Final = re.compile(r"\d{8}T\d{6}Z")
_WITHOUT_PREFIX: Final = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}  # in WSGI


@dataclass(frozen=True, slots=True)
class Signature:
    """The parts of a request's signature, not verified yet."""

    key_id: str
    date: str
    region: str
    service: str
    headers: tuple[str, ...]
    value: str
    time: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """Read the signature of a WSGI request. Return None if it has none, or one in another form."""
        match = _AUTHORIZATION.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
        time = environ.get("HTTP_X_AMZ_DATE", "")
        if match is None or not _TIME.fullmatch(time) or time[:8] != match["date"]:
            return None
        headers = tuple(match["headers"].split(";"))
        return cls(match["key_id"], match["date"], match["region"], match["service"], headers, match["signature"], time)

    def is_by(self, key: AccessKey) -> bool:
        """Whether the request names ``key``. That alone proves little; `fits` verifies the signature."""
        return hmac.compare_digest(self.key_id.encode("latin-1"), key.key_id.encode())

    def fits(self, environ: Mapping[str, str], body_sha256: str, key: AccessKey) -> bool:
        """Whether the holder of ``key`` signed this request, with every header that the services use."""
        if not self._covers(environ):
            return False
        request = "\n".join(
            (
                environ["REQUEST_METHOD"],
                environ["RAW_URI"].partition("?")[0],
                _canonical_query(environ["RAW_URI"].partition("?")[2]),
                *(f"{name}:{_header(environ, name)}" for name in self.headers),
                "",
                ";".join(self.headers),
                body_sha256,
            )
        )
        scope = f"{self.date}/{self.region}/{self.service}/aws4_request"
        hashed = sha256(request.encode("latin-1")).hexdigest()
        signing_key = _signing_key(key.secret, self.date, self.region, self.service)
        expected = _hmac(signing_key, f"AWS4-HMAC-SHA256\n{self.time}\n{scope}\n{hashed}").hex()
        return hmac.compare_digest(expected, self.value)

    def is_recent(self, now: float) -> bool:
        """Whether the request was signed around ``now``, in seconds since 1970."""
        try:
            return abs(datetime.fromisoformat(self.time).timestamp() - now) <= SKEW_S_MAX
        except ValueError:  # digits, but not a valid time
            return False

    def _covers(self, environ: Mapping[str, str]) -> bool:
        """Whether the signed headers are sorted, and include those that AWS requires."""
        wanted = {name[5:].replace("_", "-").lower() for name in environ if name.startswith("HTTP_X_AMZ_")}
        return list(self.headers) == sorted(set(self.headers)) and {"host", *wanted} <= set(self.headers)


def _header(environ: Mapping[str, str], name: str) -> str:
    variable = _WITHOUT_PREFIX.get(name) or f"HTTP_{name.upper().replace('-', '_')}"
    return " ".join(environ.get(variable, "").split())


def _canonical_query(query: str) -> str:
    """Sort the parameters. The client has already encoded them as signed."""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&")) if query else []
    return "&".join(f"{name}={value}" for name, value in pairs)


@lru_cache(maxsize=16)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("latin-1"), "sha256")
