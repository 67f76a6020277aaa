from collections.abc import Callable, Iterator
from typing import Any

import boto3
import moto
import pytest
from botocore.config import Config
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from mypy_boto3_s3 import S3Client

BUCKET = "bucket"


def _answering_no_such_upload(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Answer as AWS does where moto 5.2 raises KeyError."""

    def answering(backend: S3Backend, bucket: str, upload: str, *arguments: Any) -> Any:
        if upload not in backend.get_bucket(bucket).multiparts:
            raise NoSuchUpload(upload_id=upload)
        return operation(backend, bucket, upload, *arguments)

    return answering


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """A client of an S3 in this process, with one bucket named "bucket"."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for operation in ("complete_multipart_upload", "upload_part"):
        monkeypatch.setattr(S3Backend, operation, _answering_no_such_upload(getattr(S3Backend, operation)))
    with moto.mock_aws():
        client = boto3.client("s3", region_name="us-east-1", config=Config(retries={"total_max_attempts": 1}))
        client.create_bucket(Bucket=BUCKET)
        yield client
