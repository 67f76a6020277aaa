"""Output into an s3:// prefix, by multipart uploads that only commit completes.

1. A worker uploads its part to its final key and does not complete it: nobody can see it.
2. Commit puts ``_COMMITTING`` with ``If-None-Match: *``. Of all jobs that write here, whatever table they are in, one
   gets further.
3. It completes the winners' uploads with ``If-None-Match: *``, and aborts the others that its attempts have opened.
4. It puts ``_SUCCESS`` with ``If-None-Match: *``, and deletes ``_COMMITTING``.

Open uploads are known by their ids: S3 does not tell whose they are, so none is touched that was found by listing.
Every object says in its metadata whose it is, a part ``<job>/<part>/<worker>``: after an unclear answer, a look at the
completed object tells. Sources: S3 API reference, CompleteMultipartUpload, PutObject and DeleteObject (conditional),
ListMultipartUploads (it returns no metadata).
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
        found = page.get("Contents", [])
        if any(each["Key"] == self._prefix + COMMITTING for each in found):  # it comes before the parts
            raise RequestError(
                f"not empty: a job is committing to {self._uri()}, or has died while it was: wait for it, or name "
                f"another prefix; if it is dead, delete its {COMMITTING} and {PART_PREFIX}… objects"
            )
        # The console makes an empty object `out/` where somebody makes a folder.
        if any(each["Key"] != self._prefix or each["Size"] for each in found):
            raise RequestError(f"not empty: {self._uri()}; name another prefix or remove what is there")

    def open_part(self, name: str, *, worker: str, announce: Callable[[str], object]) -> S3PartWriter:
        """Begin an upload of the part, and announce its id before any data is sent.

        Should the worker die in between, an empty upload stays open: it costs nothing, and nobody can tell whose it is.
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
        """Put ``_COMMITTING``, and look then whether another job has published. Repeating it is harmless.

        A job deletes its ``_COMMITTING`` after it has put ``_SUCCESS``. So nothing is ever completed beside that.

        Raises:
            InvariantError: another job's ``_COMMITTING`` or ``_SUCCESS`` stands there.
        """
        with translated(f"writing {self._uri(COMMITTING)}"):
            standing = self._put_once(COMMITTING, self._commitment)
            published = self._head(SUCCESS) if standing is None else None
        if published is not None and published["Metadata"].get(_IDENTITY) != self._identity(SUCCESS):
            self._end_commit()
            raise InvariantError(f"another job's output is in the way: {self._uri(SUCCESS)}")
        if standing is not None:
            raise InvariantError(
                f"another job commits to {self._uri()}: {self._uri(COMMITTING)} holds {standing[:200]!r}; if that job "
                "is dead, delete this object and its parts"
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

    def discard_open(self, opened: Iterable[OpenedPart]) -> None:
        """Abort exactly these uploads. S3 does not tell whose an upload is: no other is touched."""
        for one in opened:
            uri = self._uri(one.name)
            with translated(f"aborting an upload of {uri}"):
                abort_upload(self._client, uri, one.upload)

    def publish(self, success: bytes, names: Collection[str]) -> None:
        """Put ``_SUCCESS``, where no other parts than ``names`` lie, and end the commit. Repeating it is harmless.

        Raises:
            InvariantError: somebody else's part or ``_SUCCESS`` stands there.
        """
        if (stray := self._stray_part(names)) and not self._holds(SUCCESS, success):
            raise InvariantError(f"not a part of this job: {self._uri(stray)} was written while the job ran")
        with translated(f"writing {self._uri(SUCCESS)}"):
            standing = self._put_once(SUCCESS, success)
        if standing is not None:
            raise InvariantError(f"another job's output is in the way: {self._uri(SUCCESS)}")
        self._end_commit()

    def withdraw(self, parts: Iterable[Part]) -> None:
        """Delete the completed ones of ``parts``, and end the commit. An object that is not proven ours stays."""
        for part in parts:
            with translated(f"removing {self._uri(part.name)}"):
                found = self._head(part.name)
                if found is not None and self._is_ours(found, part):
                    self._delete(part.name, etag=found["ETag"])
        self._end_commit()

    @property
    def _commitment(self) -> bytes:
        """What ``_COMMITTING`` holds."""
        return json.dumps({"job_id": self._job_id}).encode()

    def _end_commit(self) -> None:
        """Delete ``_COMMITTING`` if it is this job's."""
        with translated(f"removing {self._uri(COMMITTING)}"):
            if (found := self._get(COMMITTING)) and found.body == self._commitment:
                self._delete(COMMITTING, etag=found.etag)

    def _stray_part(self, names: Collection[str]) -> str | None:
        """Return the first name that looks like a part and is none of ``names``."""
        with translated(f"listing {self._uri()}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + PART_PREFIX
            )
            found = (each["Key"].removeprefix(self._prefix) for page in pages for each in page.get("Contents", []))
            return next((name for name in found if name not in names), None)

    def _put_once(self, name: str, body: bytes) -> bytes | None:
        """Put an object that must not be there; None: it is ours now, else what stands in its place."""
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
            standing = self._get(name)
            if standing is None:
                raise TransientError(f"something was in the way, and is gone: {self._uri(name)}") from error
            return None if standing.body == body else standing.body
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
            if status_of(error) not in (404, 412):  # since the look it has gone, or is not ours any more
                raise

    def _identity(self, what: str) -> str:
        return f"{self._job_id}/{what}"

    def _uri(self, name: str = "") -> S3Uri:
        return S3Uri(self._bucket, self._prefix + name)


class _Small(NamedTuple):
    """An object that is read whole."""

    etag: str
    body: bytes
