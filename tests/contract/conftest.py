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


@pytest.fixture(scope="session")
def s3_client() -> S3Client:
    """A client without retries; moto answers it while a `mock_aws` is active, and nothing else ever does."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(name, raising=False)
        return boto3.client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture
def s3(s3_client: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An S3 in this process, with one bucket named "bucket" and nothing in it."""
    for operation in ("complete_multipart_upload", "upload_part"):
        monkeypatch.setattr(S3Backend, operation, _answering_no_such_upload(getattr(S3Backend, operation)))
    with moto.mock_aws():
        s3_client.create_bucket(Bucket=BUCKET)
        yield s3_client
