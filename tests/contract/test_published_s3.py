"""An output in S3 that is replaced, or whose connection breaks, while it is read."""

from collections.abc import Callable, Iterator
from typing import cast

import pytest
from botocore.stub import Stubber
from mypy_boto3_s3 import S3Client

from s3mr.adapters.published_output import S3Published
from s3mr.errors import InvariantError, RequestError, TransientError
from tests.contract.test_s3_adapters import BreakingClient

DATA = bytes(range(250)) * 40
KEY = "out/part-00000"


def breaking_stream(client: S3Client, *, times: int) -> Iterator[bytes]:
    """Return a stream over a connection that breaks ``times`` after a thousand bytes."""
    client.put_object(Bucket="bucket", Key=KEY, Body=DATA)
    breaking = cast("S3Client", BreakingClient(client, after_bytes=1001, times=times))
    blocks = S3Published(breaking, "s3://bucket/out").stream("part-00000")
    assert blocks is not None
    return blocks


def test_reading_a_part_resumes_after_a_broken_connection(s3: S3Client) -> None:
    assert b"".join(breaking_stream(s3, times=4)) == DATA


def test_a_fifth_broken_connection_is_a_transient_error(s3: S3Client) -> None:
    with pytest.raises(TransientError, match="reading s3://bucket/out/part-00000"):
        b"".join(breaking_stream(s3, times=5))


@pytest.mark.parametrize(
    ("meddle", "message"),
    [
        (lambda client: client.put_object(Bucket="bucket", Key=KEY, Body=DATA[::-1]), "was replaced while"),
        (lambda client: client.delete_object(Bucket="bucket", Key=KEY), "deleted while"),
    ],
)
def test_two_versions_of_a_part_are_never_combined(
    s3: S3Client, meddle: Callable[[S3Client], object], message: str
) -> None:
    blocks = breaking_stream(s3, times=1)
    next(blocks)
    meddle(s3)
    with pytest.raises(InvariantError, match=message):
        b"".join(blocks)


def test_a_whole_bucket_can_be_an_output(s3: S3Client) -> None:
    for number in range(3):
        s3.put_object(Bucket="bucket", Key=f"part-{number:05}", Body=b"")
    assert list(S3Published(s3, "s3://bucket/").names()) == ["part-00000", "part-00001", "part-00002"]


def test_a_denied_read_or_list_is_refused_and_not_reported_as_missing(s3: S3Client) -> None:
    published = S3Published(s3, "s3://bucket/out")
    with Stubber(s3) as denying:
        denying.add_client_error("get_object", "AccessDenied", http_status_code=403)
        with pytest.raises(RequestError, match="reading s3://bucket/out/_SUCCESS: access denied"):
            published.stream("_SUCCESS")
        denying.add_client_error("list_objects_v2", "AccessDenied", http_status_code=403)
        with pytest.raises(RequestError, match="listing s3://bucket/out/: access denied"):
            list(published.names())
