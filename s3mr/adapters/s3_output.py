"""Output into an s3:// prefix, by multipart uploads that only commit completes.

1. A worker uploads its part to its final key and does not complete it: it is not there for anybody.
2. Commit completes the winners' uploads with ``If-None-Match: *``, and aborts the others.
3. ``_SUCCESS`` is put last, with ``If-None-Match: *``.

Every upload carries ``<job>/<part>/<worker>`` as metadata, so that after an unclear answer a look at the object says
whether it is ours. Sources: S3 API reference, CompleteMultipartUpload, PutObject and DeleteObject (conditional).
"""

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Final

import google_crc32c
from botocore.exceptions import ClientError

from s3mr import limits
from s3mr.adapters.aws_errors import code_of, is_denied, status_of, translated
from s3mr.adapters.s3_lifecycle import check_uploads_kept
from s3mr.adapters.s3_uri import S3Uri, parse_s3_uri
from s3mr.errors import InvariantError, RequestError, TransientError
from s3mr.model.keys import PART_PREFIX, SUCCESS
from s3mr.model.manifest import Part

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

_IDENTITY: Final = "s3mr-part"
_DOUBLE_EVERY: Final = 150  # upload parts; so the sizes reach S3's largest object


class S3Output:
    """One job's output below ``uri``; workers and the coordinator each make their own."""

    def __init__(self, client: "S3Client", uri: str, job_id: str, *, account: str | None = None) -> None:
        """``account``: the one to which the bucket must belong; any where None."""
        parsed = parse_s3_uri(uri)
        self._client = client
        self._bucket = parsed.bucket
        self._prefix = f"{parsed.key.rstrip('/')}/" if parsed.key.rstrip("/") else ""
        self._job_id = job_id
        self._account = account

    def check(self, *, deadline_s: float) -> None:
        """Refuse a prefix below which something is, or that could not be written to its end.

        Raises:
            RequestError: it is not empty; the bucket does not exist, must not be listed, belongs to another account, or
                aborts open uploads before the deadline.
        """
        self.check_empty()
        self._check_account()
        check_uploads_kept(self._client, self._bucket, f"{self._prefix}{PART_PREFIX}", deadline_s=deadline_s)

    def check_empty(self) -> None:
        """Refuse a prefix below which something is.

        Raises:
            RequestError: it is not empty; the bucket does not exist, or must not be listed.
        """
        with translated(f"output {self._uri()}"):
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=2)
        # The console makes an empty object `out/` where somebody makes a folder.
        if any(each["Key"] != self._prefix or each["Size"] for each in page.get("Contents", [])):
            raise RequestError(f"not empty: {self._uri()}; name another prefix or remove what is there")

    def open_part(self, name: str, *, worker: str) -> "S3PartWriter":
        """Begin an upload of the part."""
        with translated(f"writing {self._uri(name)}"):
            upload = self._client.create_multipart_upload(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Metadata={_IDENTITY: self._identity(name, worker)},
            )["UploadId"]
        return S3PartWriter(
            self._client, S3Uri(self._bucket, self._prefix + name), name=name, worker=worker, upload=upload
        )

    def complete(self, part: Part) -> None:
        """Complete a winner's upload. Repeating it is harmless.

        Raises:
            InvariantError: another object is in the way, or the upload is proven lost.
        """
        etags: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": etag} for number, etag in enumerate(part.etags, start=1)
        ]
        with translated(f"completing {self._uri(part.name)}"):
            try:
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._prefix + part.name,
                    UploadId=part.upload,
                    MultipartUpload={"Parts": etags},
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if status_of(error) != 412 and code_of(error) not in ("NoSuchUpload", "NoSuchKey"):
                    raise
                self._check_completed(part, error)

    def discard_open(self, names: Iterable[str], *, still_ours: Callable[[], bool]) -> None:
        """Abort all uploads, of whatever worker, whose key is exactly that of one of these parts."""
        keys = {self._prefix + name for name in names}
        with translated(f"listing uploads below {self._uri()}"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                found = [upload for upload in page.get("Uploads", []) if upload["Key"] in keys]
                if found and not still_ours():
                    return
                for upload in found:
                    abort_upload(self._client, S3Uri(self._bucket, upload["Key"]), upload["UploadId"])

    def publish(self, success: bytes) -> None:
        """Put ``_SUCCESS``. Repeating it is harmless.

        Raises:
            InvariantError: somebody else's stands there.
        """
        with translated(f"writing {self._uri(SUCCESS)}"):
            try:
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + SUCCESS, Body=success, IfNoneMatch="*")
            except ClientError as error:
                if status_of(error) != 412:
                    raise
                standing = self._client.get_object(Bucket=self._bucket, Key=self._prefix + SUCCESS)
                with closing(standing["Body"]) as body:
                    if body.read() != success:
                        raise InvariantError(f"another job's output is in the way: {self._uri(SUCCESS)}") from error

    def withdraw(self, parts: Iterable[Part]) -> None:
        """Delete those of ``parts`` that were completed. An object that is not proven ours stays."""
        for part in parts:
            with translated(f"removing {self._uri(part.name)}"):
                found = self._head(part.name)
                if found is not None and self._is_ours(found, part):
                    self._delete(part.name, etag=found["ETag"])

    def _check_account(self) -> None:
        """Refuse another owner's bucket: this very list was answered without the question for the owner."""
        if self._account is None:
            return
        with translated(f"output {self._uri()}"):
            try:
                self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=self._prefix, MaxKeys=2, ExpectedBucketOwner=self._account
                )
            except ClientError as error:
                if not is_denied(error):
                    raise
                raise RequestError(
                    f"output {self._uri()}: bucket {self._bucket} belongs to another account than the stack, "
                    f"{self._account}: name a bucket of that account"
                ) from error

    def _check_completed(self, part: Part, error: ClientError) -> None:
        """The upload is gone or something has its name: done if that is our object, whoever completed it."""
        found = self._head(part.name)
        if found is not None and self._is_ours(found, part):
            return
        if found is not None:
            raise InvariantError(f"another object is in the way: {self._uri(part.name)}") from error
        if status_of(error) == 412:
            raise TransientError(f"something was in the way, and is gone: {self._uri(part.name)}") from error
        raise InvariantError(f"the upload is lost: {self._uri(part.name)} was aborted by somebody else") from error

    def _is_ours(self, found: "HeadObjectOutputTypeDef", part: Part) -> bool:
        identity = self._identity(part.name, part.worker)
        return found["Metadata"].get(_IDENTITY) == identity and found["ContentLength"] == part.size_bytes

    def _head(self, name: str) -> "HeadObjectOutputTypeDef | None":
        try:
            return self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        except ClientError as error:
            if status_of(error) != 404:
                raise
            return None

    def _delete(self, name: str, *, etag: str) -> None:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name, IfMatch=etag)
        except ClientError as error:
            if status_of(error) not in (404, 412):  # since the look it has gone, or is not ours any more
                raise

    def _identity(self, name: str, worker: str) -> str:
        return f"{self._job_id}/{name}/{worker}"

    def _uri(self, name: str = "") -> S3Uri:
        return S3Uri(self._bucket, self._prefix + name)


class S3PartWriter:
    """One part on its way into an upload that nobody sees before it is completed.

    It buffers one upload part: 8 MiB for the first 8 GB, twice as much after every thousandth, so that the
    10,000 that S3 allows carry its largest object.
    """

    def __init__(self, client: "S3Client", uri: S3Uri, *, name: str, worker: str, upload: str) -> None:
        self._client = client
        self._uri = uri
        self._name = name
        self._worker = worker
        self._upload = upload
        self._buffer = bytearray()
        self._etags: list[str] = []
        self._size_bytes = 0
        self._crc32c = 0

    def write(self, data: bytes) -> None:
        """Append ``data``; it travels when enough has come together."""
        self._buffer += data
        self._size_bytes += len(data)
        self._crc32c = google_crc32c.extend(self._crc32c, data)
        if len(self._buffer) >= upload_part_bytes(len(self._etags)):
            self._send()

    def finish(self, *, records: int) -> Part:
        """Upload the rest (an empty part is one empty upload part) and return what completes it."""
        if self._buffer or not self._etags:
            self._send()
        return Part(
            name=self._name,
            upload=self._upload,
            worker=self._worker,
            etags=tuple(self._etags),
            size_bytes=self._size_bytes,
            records=records,
            crc32c=self._crc32c,
        )

    def abandon(self) -> None:
        """Abort the upload."""
        with translated(f"abandoning {self._uri}"):
            abort_upload(self._client, self._uri, self._upload)

    def _send(self) -> None:
        with translated(f"writing {self._uri}"):
            answer = self._client.upload_part(
                Bucket=self._uri.bucket,
                Key=self._uri.key,
                UploadId=self._upload,
                PartNumber=len(self._etags) + 1,
                Body=bytes(self._buffer),
            )
        self._etags.append(answer["ETag"])
        self._buffer.clear()


def upload_part_bytes(number: int) -> int:
    """Return how much the upload part ``number`` (from 0) holds at least; all of them together, S3's largest object."""
    return min(limits.UPLOAD_PART_BYTES << (number // _DOUBLE_EVERY), limits.PUT_BYTES_MAX)


def abort_upload(client: "S3Client", uri: S3Uri, upload: str) -> None:
    """Abort an upload; one that is not there any more is no error. botocore's errors are the caller's."""
    try:
        client.abort_multipart_upload(Bucket=uri.bucket, Key=uri.key, UploadId=upload)
    except ClientError as error:
        if code_of(error) != "NoSuchUpload":
            raise
