"""Read committed outputs: a folder of this machine, or an ``s3://`` prefix."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from botocore import exceptions as boto

from s3mr import limits
from s3mr.adapters.aws.aws_errors import code_of, status_of, translated
from s3mr.adapters.aws.s3_uri import S3Uri, parse_s3_uri
from s3mr.adapters.files.os_errors import translated_os
from s3mr.errors import InvariantError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_RESUMES_MAX: Final = 4  # how often a stream reconnects after its connection broke
_BROKEN: Final = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)


class FolderPublished:
    """An output in a folder."""

    def __init__(self, folder: str) -> None:
        self.place = folder

    def names(self) -> Iterator[str]:
        """Yield the names in the folder, sorted. The name of a subfolder ends with ``/``."""
        with translated_os(self.place), os.scandir(self.place) as entries:
            names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries]
        yield from sorted(names, key=os.fsencode)

    def stream(self, name: str) -> Iterator[bytes] | None:
        """Return a file's bytes, or None if there is no regular file with that name."""
        path = Path(self.place, name)
        with translated_os(str(path)):
            try:
                if not path.is_file():  # opening a pipe would block
                    return None
                return _blocks(path.open("rb", buffering=0), str(path))
            except FileNotFoundError:
                return None


class S3Published:
    """An output below a prefix."""

    def __init__(self, client: "S3Client", uri: str) -> None:
        self.place = uri
        self._client = client
        self._bucket, key = parse_s3_uri(uri)
        self._prefix = f"{key.rstrip('/')}/" if key.rstrip("/") else ""

    def names(self) -> Iterator[str]:
        """Yield the names below the prefix, page by page. A deeper prefix is one name, which ends with ``/``."""
        with translated(f"listing {self._uri()}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
            )
            for page in pages:
                keys = [one["Key"] for one in page.get("Contents", [])]
                keys += [one["Prefix"] for one in page.get("CommonPrefixes", [])]
                yield from (key.removeprefix(self._prefix) for key in sorted(keys) if key != self._prefix)

    def stream(self, name: str) -> Iterator[bytes] | None:
        """Return an object's bytes, or None if it does not exist. Reads go on after a connection breaks."""
        uri = self._uri(name)
        answer = self._get(uri)
        return None if answer is None else self._blocks(uri, answer)

    def _blocks(self, uri: S3Uri, answer: "GetObjectOutputTypeDef") -> Iterator[bytes]:
        size_bytes, etag, read_bytes = answer["ContentLength"], answer["ETag"], 0
        for resumes_left in range(_RESUMES_MAX, -1, -1):
            with translated(f"reading {uri}"), closing(answer["Body"]) as body:
                try:
                    for block in body.iter_chunks(limits.MIB):
                        read_bytes += len(block)
                        yield block
                except _BROKEN:
                    if not resumes_left:
                        raise
            if read_bytes == size_bytes:
                return
            more = self._get(uri, IfMatch=etag, Range=f"bytes={read_bytes}-")
            if more is None:
                raise InvariantError("it was deleted while it was read")
            answer = more
        raise TransientError(f"reading {uri}: the responses ended before byte {size_bytes}")

    def _get(self, uri: S3Uri, **more: str) -> "GetObjectOutputTypeDef | None":
        with translated(f"reading {uri}"):
            try:
                return self._client.get_object(Bucket=uri.bucket, Key=uri.key, **more)  # type: ignore[arg-type]
            except boto.ClientError as error:
                if status_of(error) == 412:
                    raise InvariantError("it was replaced while it was read") from error
                if code_of(error) != "NoSuchKey":
                    raise
                return None

    def _uri(self, name: str = "") -> S3Uri:
        return S3Uri(self._bucket, self._prefix + name)


def _blocks(file: BinaryIO, what: str) -> Iterator[bytes]:
    with file:
        while True:
            with translated_os(what):
                block = file.read(limits.MIB)
            if not block:
                return
            yield block
