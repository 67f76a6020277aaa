"""A bucket in the user's own S3, to which anyone may have written."""

import pytest
from mypy_boto3_s3 import S3Client


@pytest.fixture
def bucket(aws: S3Client) -> str:
    """A new bucket, reached with the user's AWS configuration."""
    aws.create_bucket(Bucket="hostile")
    return "hostile"
