"""An output in S3 whose connection breaks, or which is replaced, while it is read."""

from collections.abc import Callable, Iterator
from typing import cast

import pytest
from botocore.stub import Stubber
from mypy_boto3_s3 import S3Client

from s3mr.adapters.published_output import S3Published
from s3mr.errors import InvariantError, RequestError, TransientError
from tests.contract.test_s3_adapters import Breaking

DATA = bytes(range(250)) * 40
KEY = "out/part-00000"


def begun(client: S3Client, *, times: int) -> Iterator[bytes]:
    """A stream over a connection that breaks ``times`` after a thousand bytes."""
    client.put_object(Bucket="bucket", Key=KEY, Body=DATA)
    breaking = cast("S3Client", Breaking(client, after_bytes=1001, times=times))
    blocks = S3Published(breaking, "s3://bucket/out").stream("part-00000")
    assert blocks is not None
    return blocks


def test_a_part_over_a_broken_connection_is_taken_up_where_that_broke(s3: S3Client) -> None:
    assert b"".join(begun(s3, times=4)) == DATA


def test_a_part_over_a_connection_that_breaks_for_the_fifth_time_is_transient(s3: S3Client) -> None:
    with pytest.raises(TransientError, match="reading s3://bucket/out/part-00000"):
        b"".join(begun(s3, times=5))


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        (lambda client: client.put_object(Bucket="bucket", Key=KEY, Body=DATA[::-1]), "was replaced while"),
        (lambda client: client.delete_object(Bucket="bucket", Key=KEY), "deleted while"),
    ],
)
def test_a_part_that_changes_under_the_reading_is_not_stitched_together(
    s3: S3Client, meddle: Callable[[S3Client], object], said: str
) -> None:
    blocks = begun(s3, times=1)
    next(blocks)
    meddle(s3)
    with pytest.raises(InvariantError, match=said):
        b"".join(blocks)


def test_a_whole_bucket_can_be_an_output(s3: S3Client) -> None:
    for number in range(3):
        s3.put_object(Bucket="bucket", Key=f"part-{number:05}", Body=b"")
    assert list(S3Published(s3, "s3://bucket/").names()) == ["part-00000", "part-00001", "part-00002"]


def test_what_one_has_no_right_to_read_or_list_is_refused_and_not_taken_for_missing(s3: S3Client) -> None:
    published = S3Published(s3, "s3://bucket/out")
    with Stubber(s3) as denying:
        denying.add_client_error("get_object", "AccessDenied", http_status_code=403)
        with pytest.raises(RequestError, match="reading s3://bucket/out/_SUCCESS: access denied"):
            published.stream("_SUCCESS")
        denying.add_client_error("list_objects_v2", "AccessDenied", http_status_code=403)
        with pytest.raises(RequestError, match="listing s3://bucket/out/: access denied"):
            list(published.names())
