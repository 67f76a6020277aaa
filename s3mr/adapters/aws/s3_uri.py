"""Parse and format ``s3://bucket/key``. URIs are never percent-encoded."""

import re
from typing import Final, NamedTuple

from s3mr.errors import RequestError

SCHEME: Final = "s3://"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # S3 user guide, "Bucket naming rules"
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


def parse_s3_uri(uri: str) -> S3Uri:
    """Return the bucket and the key of ``uri``.

    Raises:
        RequestError: ``uri`` is not an s3:// URI, or its bucket or key is not valid in S3.
    """
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not is_s3(uri) or not _BUCKET.fullmatch(bucket):
        raise RequestError(f"not an S3 URI: {uri}; write s3://bucket/key or s3://bucket/prefix/")
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise RequestError(f"not an S3 key, it is not UTF-8: {uri!a}") from None
    if len(encoded) > _KEY_BYTES_MAX:
        raise RequestError(f"not an S3 key, it has more than {_KEY_BYTES_MAX} bytes: {uri}")
    return S3Uri(bucket, key)
