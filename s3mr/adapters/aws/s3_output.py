"""Write output to an s3:// prefix, with multipart uploads that only the commit completes.

1. A worker uploads its part to its final key and does not complete the upload, so the part is not visible.
2. The commit puts ``_COMMITTING`` with ``If-None-Match: *``. Of all jobs that write here, in any table, only one
   succeeds.
3. It completes the winners' uploads with ``If-None-Match: *``, and aborts the other uploads of its attempts.
4. It puts ``_SUCCESS`` with ``If-None-Match: *``, and deletes ``_COMMITTING``.

Open uploads are identified by their ids. S3 does not tell which job they belong to, so uploads found by listing are
never touched. The metadata of each object names its owner, for a part ``<job>/<part>/<worker>``. After an unclear
response, the metadata of the completed object tells whether the request succeeded.

Sources: S3 API reference, CompleteMultipartUpload, PutObject and DeleteObject (conditional), ListMultipartUploads (it
returns no metadata).
"""

import json
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

from botocore.exceptions import ClientError

from s3mr import limits
from s3mr.adapters.aws.aws_errors import code_of, is_denied, status_of, translated
from s3mr.adapters.aws.s3_lifecycle import check_uploads_kept
from s3mr.adapters.aws.s3_upload import S3PartWriter, abort_upload
from s3mr.adapters.aws.s3_uri import S3Uri, parse_s3_uri
from s3mr.errors import InvariantError, RequestError, S3mrError, TransientError
from s3mr.model.manifest import Part
from s3mr.model.object_names import COMMITTING, PART_PREFIX, SUCCESS, OpenedPart

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

_IDENTITY: Final = "s3mr-part"


class S3Output:
    """One job's output below ``uri``. Workers and the coordinator each create their own object."""

    def __init__(self, client: "S3Client", uri: str, job_id: str, *, account: str | None = None) -> None:
        """``account`` must own the bucket; None allows any account."""
        parsed = parse_s3_uri(uri)
        self._client = client
        self._bucket = parsed.bucket
        self._prefix = f"{parsed.key.rstrip('/')}/" if parsed.key.rstrip("/") else ""
        self._job_id = job_id
        self._account = account

    def check(self, *, deadline_s: float) -> None:
        """Refuse a prefix that is not empty, or where a job could not complete its output.

        Raises:
            RequestError: the prefix is not empty; the bucket does not exist, cannot be listed, belongs to another
                account, or aborts open uploads before the deadline.
        """
        self.check_empty()
        self._check_account()
        check_uploads_kept(self._client, self._bucket, f"{self._prefix}{PART_PREFIX}", deadline_s=deadline_s)

    def check_empty(self) -> None:
        """Refuse a prefix that is not empty.

        Raises:
            RequestError: the prefix is not empty; the bucket does not exist, or cannot be listed.
        """
        with translated(f"output {self._uri()}"):
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=2)
        found = page.get("Contents", [])
        if any(each["Key"] == self._prefix + COMMITTING for each in found):  # listed before the parts
            raise RequestError(
                f"not empty: a job is committing to {self._uri()}, or has died during its commit: wait for it, or name "
                f"another prefix; if it is dead, delete its {COMMITTING} and {PART_PREFIX}… objects"
            )
        # When you create a folder in the AWS console, it puts an empty object `out/`.
        if any(each["Key"] != self._prefix or each["Size"] for each in found):
            raise RequestError(f"not empty: {self._uri()}; name another prefix or remove what is there")

    def open_part(self, name: str, *, worker: str, announce: Callable[[str], object]) -> S3PartWriter:
        """Start an upload of the part, and announce its id before any data is sent.

        If the worker dies in between, an empty upload stays open. It costs nothing, and cannot be traced to its job.
        """
        with translated(f"writing {self._uri(name)}"):
            upload = self._client.create_multipart_upload(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Metadata={_IDENTITY: self._identity(f"{name}/{worker}")},
            )["UploadId"]
        uri = S3Uri(self._bucket, self._prefix + name)
        writer = S3PartWriter(self._client, uri, name=name, worker=worker, upload=upload)
        try:
            announce(upload)
        except S3mrError:
            writer.abandon()
            raise
        return writer

    def begin_commit(self) -> None:
        """Put ``_COMMITTING``, then check whether another job has published. Idempotent.

        A job deletes its ``_COMMITTING`` only after it has put ``_SUCCESS``. So no part is ever completed beside
        another job's ``_SUCCESS``.

        Raises:
            InvariantError: there is another job's ``_COMMITTING`` or ``_SUCCESS``.
        """
        with translated(f"writing {self._uri(COMMITTING)}"):
            existing = self._put_once(COMMITTING, self._commitment)
            published = self._head(SUCCESS) if existing is None else None
        if published is not None and published["Metadata"].get(_IDENTITY) != self._identity(SUCCESS):
            self._end_commit()
            raise InvariantError(f"another job's output is in the way: {self._uri(SUCCESS)}")
        if existing is not None:
            raise InvariantError(
                f"another job commits to {self._uri()}: {self._uri(COMMITTING)} holds {existing[:200]!r}; if that job "
                "is dead, delete this object and its parts"
            )

    def complete(self, part: Part) -> None:
        """Complete a winner's upload. Idempotent.

        Raises:
            InvariantError: another object is in the way, or the upload is certainly lost.
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

    def discard_open(self, opened: Iterable[OpenedPart]) -> None:
        """Abort exactly these uploads. No other is touched, because S3 does not tell which job it belongs to."""
        for one in opened:
            uri = self._uri(one.name)
            with translated(f"aborting an upload of {uri}"):
                abort_upload(self._client, uri, one.upload)

    def publish(self, success: bytes, names: Collection[str]) -> None:
        """Check that there are no parts except ``names``, put ``_SUCCESS``, and end the commit. Idempotent.

        Raises:
            InvariantError: there is a part or ``_SUCCESS`` of another writer.
        """
        if (stray := self._stray_part(names)) and not self._holds(SUCCESS, success):
            raise InvariantError(f"not a part of this job: {self._uri(stray)} was written while the job ran")
        with translated(f"writing {self._uri(SUCCESS)}"):
            existing = self._put_once(SUCCESS, success)
        if existing is not None:
            raise InvariantError(f"another job's output is in the way: {self._uri(SUCCESS)}")
        self._end_commit()

    def withdraw(self, parts: Iterable[Part]) -> None:
        """Delete the completed ones of ``parts``, and end the commit. Objects of other writers stay."""
        for part in parts:
            with translated(f"removing {self._uri(part.name)}"):
                found = self._head(part.name)
                if found is not None and self._is_ours(found, part):
                    self._delete(part.name, etag=found["ETag"])
        self._end_commit()

    @property
    def _commitment(self) -> bytes:
        """The content of ``_COMMITTING``."""
        return json.dumps({"job_id": self._job_id}).encode()

    def _end_commit(self) -> None:
        """Delete ``_COMMITTING`` if it is this job's."""
        with translated(f"removing {self._uri(COMMITTING)}"):
            if (found := self._get(COMMITTING)) and found.body == self._commitment:
                self._delete(COMMITTING, etag=found.etag)

    def _stray_part(self, names: Collection[str]) -> str | None:
        """Return the first name that looks like a part and is not one of ``names``."""
        with translated(f"listing {self._uri()}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + PART_PREFIX
            )
            found = (each["Key"].removeprefix(self._prefix) for page in pages for each in page.get("Contents", []))
            return next((name for name in found if name not in names), None)

    def _put_once(self, name: str, body: bytes) -> bytes | None:
        """Put an object that must not exist. Return None if it is ours now, else the content of the existing object."""
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=body,
                IfNoneMatch="*",
                Metadata={_IDENTITY: self._identity(name)},
            )
        except ClientError as error:
            if status_of(error) != 412:
                raise
            existing = self._get(name)
            if existing is None:
                raise TransientError(f"an object was in the way, and is gone: {self._uri(name)}") from error
            return None if existing.body == body else existing.body
        return None

    def _holds(self, name: str, body: bytes) -> bool:
        with translated(f"reading {self._uri(name)}"):
            found = self._get(name)
        return found is not None and found.body == body

    def _get(self, name: str) -> "_Small | None":
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except ClientError as error:
            if code_of(error) != "NoSuchKey":
                raise
            return None
        with closing(found["Body"]) as body:
            return _Small(found["ETag"], body.read(limits.SUCCESS_BYTES_MAX + 1))

    def _check_account(self) -> None:
        """Refuse the bucket of another account. The same request succeeded before without the expected owner."""
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
        """Handle an upload that is gone, or whose name is taken: this is fine if the object there is ours."""
        found = self._head(part.name)
        if found is not None and self._is_ours(found, part):
            return
        if found is not None:
            raise InvariantError(f"another object is in the way: {self._uri(part.name)}") from error
        if status_of(error) == 412:
            raise TransientError(f"an object was in the way, and is gone: {self._uri(part.name)}") from error
        raise InvariantError(f"the upload is lost: another process aborted {self._uri(part.name)}") from error

    def _is_ours(self, found: "HeadObjectOutputTypeDef", part: Part) -> bool:
        identity = self._identity(f"{part.name}/{part.worker}")
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
            if status_of(error) not in (404, 412):  # deleted or replaced since it was checked
                raise

    def _identity(self, what: str) -> str:
        return f"{self._job_id}/{what}"

    def _uri(self, name: str = "") -> S3Uri:
        return S3Uri(self._bucket, self._prefix + name)


class _Small(NamedTuple):
    """A small object, read whole."""

    etag: str
    body: bytes
