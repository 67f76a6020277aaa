"""Behavior of S3 only: pages, broken connections, responses that leave the winner unclear."""

import io
from typing import Any, cast

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from mypy_boto3_s3 import S3Client

from s3mr import limits
from s3mr.adapters.aws.s3_inputs import S3Inputs
from s3mr.adapters.aws.s3_output import S3Output
from s3mr.adapters.aws.s3_store import S3ObjectStore
from s3mr.adapters.aws.s3_upload import upload_part_bytes
from s3mr.adapters.aws.s3_uri import parse_s3_uri
from s3mr.errors import InvariantError, RequestError, TransientError
from s3mr.model.object_names import OpenedPart

WORKER = "0123456789abcdef"

ACCESS_POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint/logs"


class BreakingClient:
    """A client whose responses break after some bytes, a given number of times."""

    def __init__(self, client: S3Client, *, after_bytes: int, times: int, quietly: bool = False) -> None:
        self._client = client
        self._after_bytes = after_bytes
        self.times_left = times
        self._quietly = quietly

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_object(self, **arguments: Any) -> Any:
        answer: Any = self._client.get_object(**arguments)
        if self.times_left:
            self.times_left -= 1
            data = answer["Body"].read()[: self._after_bytes]
            answer["Body"] = StreamingBody(Raw(data, quietly=self._quietly), answer["ContentLength"])
        return answer


class Raw(io.BytesIO):
    def __init__(self, data: bytes, *, quietly: bool) -> None:
        super().__init__(data)
        self._quietly = quietly

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data and not self._quietly:
            raise ReadTimeoutError(endpoint_url="s3")
        return data


def stream(client: object, data: bytes) -> bytes:
    real = cast("S3Client", getattr(client, "_client", client))
    etag = real.put_object(Bucket="bucket", Key="a", Body=data)["ETag"]
    inputs = S3Inputs(cast("S3Client", client))
    return b"".join(inputs.stream("s3://bucket/a", etag=etag, start=3, stop=len(data)))


@pytest.mark.parametrize("quietly", [False, True])
def test_reading_resumes_after_a_broken_connection(s3: S3Client, quietly: bool) -> None:  # noqa: FBT001
    data = bytes(range(250)) * 40
    breaking = BreakingClient(s3, after_bytes=1001, times=4, quietly=quietly)
    assert stream(breaking, data) == data[3:]
    assert breaking.times_left == 0


@pytest.mark.parametrize("quietly", [False, True])
def test_a_fifth_broken_connection_is_transient(s3: S3Client, quietly: bool) -> None:  # noqa: FBT001
    with pytest.raises(TransientError, match="reading s3://bucket/a"):
        stream(BreakingClient(s3, after_bytes=10, times=5, quietly=quietly), bytes(1000))


def more_than_a_page() -> list[str]:
    """Return keys of objects in the bucket, more than fit in a page."""
    inside = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # a thousand requests would take seconds
    keys = [f"many/{number:04}" for number in range(1_005)]
    for key in keys:
        inside.put_object("bucket", key, b"")
    return keys


def test_more_than_a_page_of_keys_is_found(s3: S3Client) -> None:
    keys = more_than_a_page()
    found = S3Inputs(s3).find(["s3://bucket/many"]).objects
    assert [each.source for each in found] == [f"s3://bucket/{key}" for key in keys]


def test_a_listing_of_several_pages_is_sorted_below_its_prefix_and_can_be_deleted(s3: S3Client) -> None:
    keys, store = more_than_a_page(), S3ObjectStore(s3, "bucket")
    store.put("many-others", b"")
    assert list(store.list("many/")) == keys
    store.delete(store.list("many/"))
    assert list(store.list("many")) == ["many-others"]


def test_a_whole_bucket_can_be_an_input_and_folder_markers_are_skipped(s3: S3Client) -> None:
    for key, body in (
        ("a", b"1"),
        ("dir/", b""),
        ("dir/b", b"2"),
        ("dir/not-empty/", b"3"),
        ("_hidden/", b""),
        ("dir_$folder$", b""),
    ):
        s3.put_object(Bucket="bucket", Key=key, Body=body)
    expected = ["s3://bucket/a", "s3://bucket/dir/b", "s3://bucket/dir/not-empty/"]
    for argument in ("s3://bucket", "s3://bucket/"):
        found = S3Inputs(s3).find([argument])
        assert [each.source for each in found.objects] == expected
        assert found.skipped == 0


def test_a_trailing_slash_distinguishes_a_prefix_from_an_object_of_the_same_name(s3: S3Client) -> None:
    for key in ("logs", "logs/a"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    assert [each.source for each in S3Inputs(s3).find(["s3://bucket/logs"]).objects] == ["s3://bucket/logs"]
    assert [each.source for each in S3Inputs(s3).find(["s3://bucket/logs/"]).objects] == ["s3://bucket/logs/a"]


def test_an_invalid_pattern_is_refused(s3: S3Client) -> None:
    with pytest.raises(RequestError, match="not a pattern"):
        S3Inputs(s3).find(["s3://bucket/[z-a]"])


@pytest.mark.parametrize(
    "uri",
    [
        "s3://",
        "s3:///key",
        "s3://-/key",
        "s3://a b/key",
        "S3://bucket/key",
        "s3://b",
        "s3://bucket/\udcff",
        "/a",
        "s3://bucket/" + "k" * 1025,
    ],
)
def test_an_invalid_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(RequestError, match="not an S3"):
        parse_s3_uri(uri)


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://Legacy_Bucket/a/b", "Legacy_Bucket", "a/b"),
        ("s3://bucket", "bucket", ""),
        (f"s3://{ACCESS_POINT}/a/b", ACCESS_POINT, "a/b"),
        (f"s3://{ACCESS_POINT}", ACCESS_POINT, ""),
    ],
)
def test_a_bucket_can_have_an_old_name_or_be_an_access_point(uri: str, bucket: str, key: str) -> None:
    assert parse_s3_uri(uri) == (bucket, key)


def test_a_bucket_that_does_not_exist_is_refused_by_its_name(s3: S3Client) -> None:
    with pytest.raises(RequestError, match="s3://no-such-bucket/a: there is no such bucket"):
        S3Inputs(s3).find(["s3://no-such-bucket/a"])
    with pytest.raises(RequestError, match="s3://no-such-bucket/out/: there is no such bucket"):
        S3Output(s3, "s3://no-such-bucket/out", "job-1").check(deadline_s=limits.DEADLINE_S)


def test_an_empty_folder_made_in_the_console_is_an_empty_output(s3: S3Client) -> None:
    s3.put_object(Bucket="bucket", Key="out/", Body=b"")
    S3Output(s3, "s3://bucket/out/", "job-1").check(deadline_s=limits.DEADLINE_S)


def test_an_output_is_empty_despite_a_longer_prefix_beside_it(s3: S3Client) -> None:
    s3.put_object(Bucket="bucket", Key="output/x", Body=b"")
    S3Output(s3, "s3://bucket/out", "job-1").check(deadline_s=limits.DEADLINE_S)
    with pytest.raises(RequestError, match="not empty: s3://bucket/;"):
        S3Output(s3, "s3://bucket", "job-1").check(deadline_s=limits.DEADLINE_S)


def test_a_large_part_is_sent_in_several_upload_parts(s3: S3Client) -> None:
    output = S3Output(s3, "s3://bucket/out", "job-1")
    writer = output.open_part("part-00000", worker=WORKER, announce=len)
    block = bytes(range(256)) * 4096
    for _ in range(2 * limits.UPLOAD_PART_BYTES // len(block) + 1):
        writer.write(block)
    part = writer.finish(records=1)
    assert len(part.etags) == 3
    output.complete(part)
    assert s3.head_object(Bucket="bucket", Key="out/part-00000")["ContentLength"] == part.size_bytes


def test_the_upload_parts_that_s3_allows_suffice_for_its_largest_object() -> None:
    assert upload_part_bytes(0) == upload_part_bytes(149) == limits.UPLOAD_PART_BYTES
    sizes = [upload_part_bytes(number) for number in range(limits.UPLOAD_PARTS_MAX)]
    assert sum(sizes) > 5 * 1024 * limits.GIB
    assert max(sizes) <= limits.PUT_BYTES_MAX


def test_another_executions_object_of_the_same_size_is_not_accepted_as_ours(s3: S3Client) -> None:
    output = S3Output(s3, "s3://bucket/out", "job-1")
    part = output.open_part("part-00000", worker=WORKER, announce=len).finish(records=0)
    identity = f"job-1/part-00000/{'f' * 16}"
    s3.put_object(Bucket="bucket", Key="out/part-00000", Body=b"", Metadata={"s3mr-part": identity})
    with pytest.raises(InvariantError, match="another object is in the way"):
        output.complete(part)
    output.withdraw([part])
    assert s3.head_object(Bucket="bucket", Key="out/part-00000")["Metadata"] == {"s3mr-part": identity}


def test_withdrawing_keeps_an_object_that_replaces_ours_meanwhile(s3: S3Client) -> None:
    class ReplacingClient:
        """A client whose object is replaced right after it was looked up."""

        def __getattr__(self, name: str) -> Any:
            return getattr(s3, name)

        def head_object(self, **arguments: Any) -> Any:
            seen = s3.head_object(**arguments)
            s3.put_object(Bucket="bucket", Key="out/part-00000", Body=b"theirs")
            return seen

    output = S3Output(cast("S3Client", ReplacingClient()), "s3://bucket/out", "job-1")
    part = output.open_part("part-00000", worker=WORKER, announce=len).finish(records=0)
    output.complete(part)
    output.withdraw([part])
    assert s3.get_object(Bucket="bucket", Key="out/part-00000")["Body"].read() == b"theirs"


def test_an_output_to_which_another_job_commits_is_refused_for_that_reason(s3: S3Client) -> None:
    S3Output(s3, "s3://bucket/out", "job-1").begin_commit()
    s3.put_object(Bucket="bucket", Key="out/part-00000", Body=b"")
    with pytest.raises(RequestError, match="a job is committing to s3://bucket/out/, or has died"):
        S3Output(s3, "s3://bucket/out", "job-2").check_empty()


def test_a_missing_upload_that_was_completed_counts_as_done(s3: S3Client) -> None:
    output = S3Output(s3, "s3://bucket/out", "job-1")
    writer = output.open_part("part-00000", worker=WORKER, announce=len)
    writer.write(b"content")
    part = writer.finish(records=1)
    output.complete(part)
    output.complete(part.model_copy(update={"upload": "as-if-it-were-gone"}))
    s3.delete_object(Bucket="bucket", Key="out/part-00000")
    with pytest.raises(InvariantError, match="the upload is lost"):
        output.complete(part)


def test_writing_into_an_aborted_upload_is_reported(s3: S3Client) -> None:
    output = S3Output(s3, "s3://bucket/out", "job-1")
    told: list[str] = []
    writer = output.open_part("part-00000", worker=WORKER, announce=told.append)
    output.discard_open([OpenedPart("part-00000", WORKER, told[0])])
    with pytest.raises(InvariantError, match="NoSuchUpload"):
        writer.finish(records=0)
    writer.abandon()
