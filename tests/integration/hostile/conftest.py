"""A bucket of the user's own, which keeps what anybody has put there."""

import pytest
from mypy_boto3_s3 import S3Client


@pytest.fixture
def bucket(aws: S3Client) -> str:
    """A new bucket, in the user's configuration as AWS's tools read it."""
    aws.create_bucket(Bucket="hostile")
    return "hostile"
