"""Find and read inputs in S3: objects, prefixes of whole components, and glob patterns for keys."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final, Literal, TypedDict

from botocore import exceptions as boto

from s3mr import limits
from s3mr.adapters import input_names
from s3mr.adapters.aws.aws_errors import is_denied, status_of, translated
from s3mr.adapters.aws.s3_uri import S3Uri, parse_s3_uri
from s3mr.adapters.input_names import Candidate
from s3mr.errors import InvariantError, RequestError, TransientError
from s3mr.model.plan import InputObject
from s3mr.ports import Found

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

_RESUMES_MAX: Final = 4  # how often a stream reconnects after its connection broke
_BROKEN: Final = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)
_ARCHIVES: Final = ("GLACIER", "DEEP_ARCHIVE")  # Glacier Instant Retrieval can be read directly


class _Payer(TypedDict, total=False):
    RequestPayer: Literal["requester"]


class S3Inputs:
    """Finds and reads objects in S3.

    `find` refuses objects that could not be read later. These are archived objects, as far as a listing shows them, and
    objects in a bucket that can be listed but not read (another account; Requester Pays; an encryption key without
    access). To test this, it reads one byte of one object of each bucket.
    """

    def __init__(self, client: "S3Client", *, requester_pays: bool = False) -> None:
        self._client = client
        self._payer: _Payer = {"RequestPayer": "requester"} if requester_pays else {}
        self._proven: set[str] = set()  # buckets from which an object was read

    def find(self, arguments: Sequence[str]) -> Found:
        """Expand keys, prefixes and globs, each sorted by key, in the order of the arguments.

        Names below a prefix or a pattern that begin with ``_`` or ``.`` are skipped and counted. Empty objects that
        represent folders (``logs/``, ``logs_$folder$``) are not inputs.

        Raises:
            RequestError: an argument matches nothing, names something that cannot be read, or there are no inputs.
        """
        return input_names.collect(arguments, self.expand)

    def expand(self, argument: str) -> Iterator[Candidate]:
        """Yield the candidates for one argument. Their identity is the URI."""
        uri = parse_s3_uri(argument)
        exact = self._exact(uri)
        if exact:
            yield self._tested(exact)
        elif input_names.has_magic(uri.key):
            yield from self._matches(uri)
        else:
            yield from self._below(uri)

    def look_up(self, source: str) -> InputObject | None:
        """Return the object with exactly this key, as it is now."""
        found = self._first(parse_s3_uri(source))
        return found.found if found else None

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` of the object in blocks of at most 1 MiB.

        If the connection breaks, reading goes on from there.

        Raises:
            RequestError: the object has vanished or changed since it was found, or access is denied.
            TransientError: the connection broke too often, or S3 is busy.
        """
        uri = parse_s3_uri(source)
        for resumes_left in range(_RESUMES_MAX, -1, -1):
            try:
                for block in self._get(uri, etag=etag, start=start, stop=stop):
                    start += len(block)
                    yield block
            except _BROKEN as error:
                if not resumes_left:
                    raise TransientError(f"reading {source}: {error}") from error
            if start == stop:
                return
        raise TransientError(f"reading {source}: the responses ended before byte {stop}")

    def _exact(self, uri: S3Uri) -> Candidate | None:
        """Return the object with exactly this key, unless the key can only be a folder's."""
        return self._first(uri) if uri.key and not uri.key.endswith("/") else None

    def _first(self, uri: S3Uri) -> Candidate | None:
        """Return the object with exactly this key: it is the first of all keys that begin with it."""
        with self._explaining_denial(f"reading {uri}", uri.bucket):
            page = self._client.list_objects_v2(
                Bucket=uri.bucket,
                Prefix=uri.key,
                MaxKeys=1,
                OptionalObjectAttributes=["RestoreStatus"],
                **self._payer,
            )
        first = page.get("Contents", [])
        return _candidate(uri.bucket, first[0]) if first and first[0]["Key"] == uri.key else None

    def _below(self, uri: S3Uri) -> Iterator[Candidate]:
        prefix = uri.key if not uri.key or uri.key.endswith("/") else f"{uri.key}/"
        found_any = False
        for key, found in self._list(S3Uri(uri.bucket, prefix)):
            found_any = True
            if not _is_folder_marker(found):
                yield self._unless(input_names.is_hidden(key.removeprefix(prefix)), found)
        if not found_any:
            raise RequestError(f"no input: there is no object and no prefix {uri}")

    def _matches(self, uri: S3Uri) -> Iterator[Candidate]:
        matches, asked = input_names.glob_regex(uri.key).fullmatch, input_names.hidden_asked(uri.key)
        folder_length = len(input_names.literal_folder(uri.key))
        found_any = False
        for key, found in self._list(S3Uri(uri.bucket, input_names.literal_start(uri.key))):
            if matches(key):
                found_any = True
                if not _is_folder_marker(found):
                    yield self._unless(input_names.is_hidden(key[folder_length:], asked=asked), found)
        if not found_any:
            raise RequestError(f"no input: nothing matches the pattern {uri}")

    def _list(self, prefix: S3Uri) -> Iterator[tuple[str, Candidate]]:
        with self._explaining_denial(f"listing {prefix}", prefix.bucket):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=prefix.bucket,
                Prefix=prefix.key,
                OptionalObjectAttributes=["RestoreStatus"],
                **self._payer,
            )
            for page in pages:
                for each in page.get("Contents", []):
                    yield each["Key"], _candidate(prefix.bucket, each)

    def _unless(self, hidden: bool, found: Candidate) -> Candidate:  # noqa: FBT001 - it reads as a sentence
        return Candidate(found.identity, None) if hidden else self._tested(found)

    def _tested(self, candidate: Candidate) -> Candidate:
        """Return the candidate. If no object of its bucket was read yet, read a byte of it, unless it is empty."""
        found = candidate.found
        if found is None or candidate.archived or not found.size_bytes:
            return candidate
        uri = parse_s3_uri(found.source)
        if uri.bucket not in self._proven:
            try:
                b"".join(self._get(uri, etag=found.etag, start=0, stop=1))
            except InvariantError as error:  # encrypted with the customer's own key, or with a deleted key
                raise RequestError(f"an input cannot be read: {error}") from error
            self._proven.add(uri.bucket)
        return candidate

    @contextmanager
    def _explaining_denial(self, what: str, bucket: str) -> Iterator[None]:
        """Translate errors. If access is denied, add what the bucket's owner must allow."""
        try:
            with translated(what):
                yield
        except RequestError as error:
            if not is_denied(error.__cause__):
                raise
            payer = "" if self._payer else "; if it is Requester Pays, --requester-pays reads it"
            raise RequestError(
                f"{error}; if bucket {bucket} belongs to another account, its owner must allow you, and a stack's "
                f"workers, to list and read it{payer}"
            ) from error.__cause__

    def _get(self, uri: S3Uri, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        if start == stop:
            return
        with self._explaining_denial(f"reading {uri}", uri.bucket):
            try:
                answer = self._client.get_object(
                    Bucket=uri.bucket, Key=uri.key, IfMatch=etag, Range=f"bytes={start}-{stop - 1}", **self._payer
                )
            except self._client.exceptions.NoSuchKey as error:
                raise RequestError(f"vanished since it was planned: {uri}") from error
            except boto.ClientError as error:
                if status_of(error) == 412:
                    raise RequestError(f"changed since it was planned: {uri}; run the job again") from error
                raise
        with closing(answer["Body"]) as body:  # as a context manager itself, it would return the raw connection
            yield from body.iter_chunks(limits.MIB)


def _is_folder_marker(found: Candidate) -> bool:
    """Whether an object stands for a folder: ``logs/`` in the console, ``logs_$folder$`` in Hadoop and EMR."""
    return found.identity.endswith(("/", "_$folder$")) and found.found is not None and not found.found.size_bytes


def _candidate(bucket: str, listed: "ObjectTypeDef") -> Candidate:
    source = str(S3Uri(bucket, listed["Key"]))
    found = InputObject(source=source, size_bytes=listed["Size"], etag=listed["ETag"])
    return Candidate(source, found, _is_archived(listed))


def _is_archived(listed: "ObjectTypeDef") -> bool:
    """Whether an object must be restored before it can be read.

    A restored object has the date until which its copy exists. For Intelligent-Tiering, a listing shows only restores,
    not the archive itself.
    """
    restore = listed.get("RestoreStatus", {})
    archived = listed.get("StorageClass") in _ARCHIVES or restore.get("IsRestoreInProgress", False)
    return archived and bool(listed["Size"]) and "RestoreExpiryDate" not in restore
