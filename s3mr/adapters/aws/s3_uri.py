"""Parse and format ``s3://bucket/key``. URIs are never percent-encoded."""

import re
from typing import Final, NamedTuple

from s3mr.errors import RequestError

SCHEME: Final = "s3://"
# S3 user guide, "Bucket naming rules": buckets made before March 2018 in us-east-1 may also have capitals and
# underscores. "Referencing access points": an ARN stands in place of the bucket's name.
_BUCKET: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]"
_ACCESS_POINT: Final = r"arn:aws[a-z-]*:s3:[a-z0-9-]+:[0-9]{12}:accesspoint[/:][a-z0-9-]{3,50}"
_PARTS: Final = re.compile(rf"s3://(?P<bucket>{_BUCKET}|{_ACCESS_POINT})(?:/(?P<key>.*))?", re.DOTALL)
_FOREIGN: Final = re.compile(r"[a-z][a-z0-9+.-]*:/|s3[an]?:", re.IGNORECASE)
_KEY_BYTES_MAX: Final = 1024


class S3Uri(NamedTuple):
    """A bucket and a key or prefix, which may be empty."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


def is_s3(source: str) -> bool:
    """Whether ``source`` is in S3."""
    return source.startswith(SCHEME)


def is_foreign(text: str) -> bool:
    """Whether ``text`` looks like a URI that s3mr cannot use, such as ``gs://…``, ``s3a://…`` or ``S3://…``."""
    return not is_s3(text) and _FOREIGN.match(text) is not None


def parse_s3_uri(uri: str) -> S3Uri:
    """Return the bucket and the key of ``uri``.

    Raises:
        RequestError: ``uri`` is not an s3:// URI, or its bucket or key is not valid in S3.
    """
    found = _PARTS.fullmatch(uri)
    if found is None:
        raise RequestError(f"not an S3 URI: {uri}; write s3://bucket/key or s3://bucket/prefix/")
    key = found["key"] or ""
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise RequestError(f"not an S3 key, it is not UTF-8: {uri!a}") from None
    if len(encoded) > _KEY_BYTES_MAX:
        raise RequestError(f"not an S3 key, it has more than {_KEY_BYTES_MAX} bytes: {uri}")
    return S3Uri(found["bucket"], key)
