"""Store objects in the stack's own bucket."""

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, TypedDict

from botocore.exceptions import ClientError

from s3mr import limits
from s3mr.adapters.aws.aws_errors import code_of, status_of, translated
from s3mr.batching import batched
from s3mr.errors import InvariantError, RequestError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CreateBucketConfigurationTypeDef

BLOCK_BYTES = 1024 * 1024
DELETE_KEYS_MAX = 1000  # S3: DeleteObjects


class _Place(TypedDict, total=False):
    CreateBucketConfiguration: "CreateBucketConfigurationTypeDef"


class S3ObjectStore:
    """One bucket, to which only this stack writes."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def create_bucket(self) -> None:
        """Create the bucket if it does not exist. Only for services without a deployed stack.

        Raises:
            RequestError: the bucket belongs to another account.
        """
        region = self._client.meta.region_name
        elsewhere = region not in (None, "us-east-1", "aws-global")  # S3 does not accept these as a location
        place: _Place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}  # type: ignore[typeddict-item] # any region may be configured
        with translated(f"creating the bucket {self._bucket}"):
            if self._is_there():
                return
            try:
                self._client.create_bucket(Bucket=self._bucket, **place)
            except ClientError as error:
                if code_of(error) == "BucketAlreadyOwnedByYou":  # another command has created it meanwhile
                    return
                if code_of(error) != "BucketAlreadyExists":
                    raise
                if not self._is_there():
                    raise RequestError(
                        f"the bucket {self._bucket} belongs to another account: name another bucket"
                    ) from error

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        size_bytes = len(body) if isinstance(body, bytes) else body.seek(0, io.SEEK_END)
        if size_bytes > limits.PUT_BYTES_MAX:
            raise RequestError(
                f"{key} would have {size_bytes} bytes, more than S3 accepts in one request: lower --split-size"
            )
        if not isinstance(body, bytes):
            body.seek(0)
        with translated(f"writing s3://{self._bucket}/{key}"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def stream(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        if stop is not None and stop <= start:
            return
        byte_range = f"bytes={start}-{'' if stop is None else stop - 1}"
        wanted = None if stop is None else stop - start
        with translated(f"reading s3://{self._bucket}/{key}"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=byte_range)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", "404", "InvalidRange", "416"):
                    raise InvariantError(f"object {key} is missing or shorter than {stop} bytes") from error
                raise
            if wanted is not None and answer["ContentLength"] != wanted:
                raise InvariantError(f"object {key} is shorter than {stop} bytes")
            body = answer["Body"]
            try:
                yield from iter(lambda: body.read(BLOCK_BYTES), b"")
            finally:
                body.close()

    def size(self, key: str) -> int | None:
        with translated(f"reading the size of s3://{self._bucket}/{key}"):
            try:
                return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
            except ClientError as error:
                if status_of(error) != 404:
                    raise
                return None

    def copy(self, source: str, target: str) -> bool:
        with translated(f"copying s3://{self._bucket}/{source} to {target}"):
            try:
                self._client.copy_object(
                    Bucket=self._bucket, Key=target, CopySource={"Bucket": self._bucket, "Key": source}
                )
            except ClientError as error:
                if code_of(error) != "NoSuchKey":
                    raise
                return False
            return True

    def list(self, prefix: str) -> Iterator[str]:
        with translated(f"listing s3://{self._bucket}/{prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"]

    def _is_there(self) -> bool:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if status_of(error) != 404:
                raise
            return False
        return True

    def delete(self, keys: Iterable[str]) -> None:
        for batch in batched(keys, DELETE_KEYS_MAX):
            with translated(f"deleting objects in s3://{self._bucket}"):
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                )
            if errors := answer.get("Errors"):
                raise InvariantError(f"S3 did not delete {len(errors)} objects; the first is {errors[0]}")
