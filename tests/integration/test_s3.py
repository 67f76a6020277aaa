"""The user's own S3, not the embedded cloud, as input and output, with the user's AWS configuration."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from mypy_boto3_s3 import S3Client

from tests.integration.conftest import Finished
from tests.integration.test_processes import until
from tests.warm_commands import WarmCommands

Run = Callable[..., Finished]
Write = Callable[..., Path]

COUNT = """
    def words(source, line):
        for word in line.split():
            yield word, 1

    job = Job(map=words, reduce=lambda word, counts: [(word, sum(counts))])
    sources = Job(map=lambda source, line: [(source, line)])
"""


@pytest.fixture
def bucket(aws: S3Client, request: pytest.FixtureRequest) -> str:
    name = f"users-{abs(hash(request.node.name)) % 10**8}"
    aws.create_bucket(Bucket=name)
    return name


def test_a_prefix_of_more_than_1000_objects_is_read_and_the_output_committed_to_s3(
    s3mr: Run, job_file: Write, aws: S3Client, bucket: str
) -> None:
    job_file(COUNT)
    inside = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # the server's own storage: a thousand requests would take seconds
    for number in range(1003):
        inside.put_object(bucket, f"in/{number:04d} é%.txt", b"a b\n")
    aws.put_object(Bucket=bucket, Key="in/_hidden", Body=b"hidden\n")
    aws.put_object(Bucket=bucket, Key="in-other/x", Body=b"other\n")
    out = f"s3://{bucket}/out"
    done = s3mr("run", "job.py:job", f"s3://{bucket}/in", "--output", out, "--json", "--quiet", "--reducers", "2")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["skipped_objects"] == 1
    keys = [entry["Key"] for entry in aws.list_objects_v2(Bucket=bucket, Prefix="out")["Contents"]]
    assert keys == ["out/_SUCCESS", "out/part-00000", "out/part-00001"]
    lines = [line for key in keys[1:] for line in read(aws, bucket, key).splitlines()]
    assert sorted(lines) == ["a\t1003", "b\t1003"]
    assert "Uploads" not in aws.list_multipart_uploads(Bucket=bucket)


def read(aws: S3Client, bucket: str, key: str) -> str:
    return aws.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def test_sources_are_named_as_uris_and_large_objects_are_split(
    s3mr: Run, job_file: Write, aws: S3Client, bucket: str
) -> None:
    job_file(COUNT)
    lines = [f"line {number}" for number in range(500)]
    aws.put_object(Bucket=bucket, Key="a b%20.txt", Body="\n".join(lines).encode())
    done = s3mr("run", "job.py:sources", f"s3://{bucket}/a b%20.txt", "--split-size", "700")
    expected = [f"s3://{bucket}/a b%20.txt\t{line}" for line in lines]
    assert done.stdout.decode().splitlines() == expected, done.stderr.decode()


def test_a_job_that_fails_leaves_no_part_and_no_open_upload(
    s3mr: Run, job_file: Write, aws: S3Client, bucket: str
) -> None:
    job_file(
        """
    def fails(key, values):
        if key == "b":
            raise ValueError("b")
        yield key, sum(values)

    job = Job(map=lambda source, line: [(word, 1) for word in line.split()], reduce=fails)
    """
    )
    aws.put_object(Bucket=bucket, Key="in", Body=b"a b c d e f\n")
    done = s3mr("run", "job.py", f"s3://{bucket}/in", "--output", f"s3://{bucket}/out/", "--reducers", "4")
    assert done.returncode == 1
    assert b"ValueError: b" in done.stderr
    assert aws.list_objects_v2(Bucket=bucket, Prefix="out").get("KeyCount") == 0
    assert "Uploads" not in aws.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("fails", [False, True])
def test_an_upload_that_the_job_did_not_open_is_never_touched(
    s3mr: Run, job_file: Write, aws: S3Client, bucket: str, *, fails: bool
) -> None:
    job_file(COUNT if not fails else "def fail(source, line):\n    raise ValueError\njob = Job(map=fail)\n")
    aws.put_object(Bucket=bucket, Key="in", Body=b"a\n")
    theirs = {aws.create_multipart_upload(Bucket=bucket, Key=f"out/part-0000{number}")["UploadId"] for number in (0, 1)}
    done = s3mr("run", "job.py:job", f"s3://{bucket}/in", "--output", f"s3://{bucket}/out", "--quiet")
    assert done.returncode == int(fails), done.stderr.decode()
    left = aws.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert {one["UploadId"] for one in left} == theirs


def test_the_first_of_two_independent_commands_to_commit_publishes(
    s3mr: Run, job_file: Write, aws: S3Client, bucket: str, tmp_path: Path, warm_commands: WarmCommands
) -> None:
    job_file(
        """
    import time
    from pathlib import Path

    def words(source, line):
        yield line, 1

    def slow(key, values):
        yield key, sum(values)
        Path("reached").touch()
        while not Path("go").exists():
            time.sleep(0.01)

    job = Job(map=words, reduce=slow, reducers=1)
    quick = Job(map=words, reduce=lambda key, values: [(key, "theirs")], reducers=3)
    """
    )
    aws.put_object(Bucket=bucket, Key="in", Body=b"a\nb\n")
    arguments = ["run", "job.py:job", f"s3://{bucket}/in", "--output", f"s3://{bucket}/out"]
    with warm_commands.start(arguments, folder=tmp_path, environment=os.environ) as slow:
        until((tmp_path / "reached").exists, "reduce runs")
        mine = aws.list_multipart_uploads(Bucket=bucket)["Uploads"]
        theirs = s3mr("run", "job.py:quick", f"s3://{bucket}/in", "--output", f"s3://{bucket}/out/", "--quiet")
        assert theirs.returncode == 0, theirs.stderr.decode()
        assert aws.list_multipart_uploads(Bucket=bucket)["Uploads"] == mine
        published = aws.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]
        (tmp_path / "go").touch()
        _, stderr = slow.communicate(timeout=60)
    assert slow.returncode == 1
    assert b"in the way" in stderr
    assert aws.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"] == published
    assert [one["Key"] for one in published] == ["out/_SUCCESS", *(f"out/part-0000{number}" for number in range(3))]
    assert "Uploads" not in aws.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("standing", [b'{"job_id": "20260101-000000-00000000"}', b"\x1b[2J"])
def test_a_job_publishes_nothing_while_another_job_commits(
    s3mr: Run, job_file: Write, aws: S3Client, bucket: str, standing: bytes
) -> None:
    job_file(
        f"""
    import boto3

    def meanwhile(key, values):
        s3 = boto3.client("s3", endpoint_url={aws.meta.endpoint_url!r}, region_name="us-east-1")
        s3.put_object(Bucket={bucket!r}, Key="out/_COMMITTING", Body={standing!r})
        yield key, sum(values)

    job = Job(map=lambda source, line: [(line, 1)], reduce=meanwhile, reducers=1)
    """
    )
    aws.put_object(Bucket=bucket, Key="in", Body=b"a\n")
    done = s3mr("run", "job.py", f"s3://{bucket}/in", "--output", f"s3://{bucket}/out")
    assert done.returncode == 1
    assert b"another job commits to s3://" in done.stderr
    assert b"\x1b" not in done.stderr
    assert [one["Key"] for one in aws.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]] == ["out/_COMMITTING"]
    assert "Uploads" not in aws.list_multipart_uploads(Bucket=bucket)


def test_an_interrupt_aborts_the_open_uploads(
    job_file: Write, aws: S3Client, bucket: str, tmp_path: Path, warm_commands: WarmCommands
) -> None:
    job_file(
        """
    import time
    from pathlib import Path

    def slow(key, values):
        yield key, sum(values)
        Path("reached").touch()
        time.sleep(1000)

    job = Job(map=lambda source, line: [(line, 1)], reduce=slow, reducers=1)
    """
    )
    aws.put_object(Bucket=bucket, Key="in", Body=b"a\n")
    arguments = ["run", "job.py", f"s3://{bucket}/in", "--output", f"s3://{bucket}/out"]
    with warm_commands.start(arguments, folder=tmp_path, environment=os.environ) as running:
        until((tmp_path / "reached").exists, "reduce runs")
        assert "Uploads" in aws.list_multipart_uploads(Bucket=bucket)
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=60)
    assert (running.returncode, stderr) == (130, b"\ninterrupted: nothing was written\n")
    assert "Uploads" not in aws.list_multipart_uploads(Bucket=bucket)
    assert "Contents" not in aws.list_objects_v2(Bucket=bucket, Prefix="out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("s3://no-such-bucket-anywhere/in",), "no-such-bucket-anywhere"),
        (("s3://{bucket}/nothing",), "nothing"),
        (("s3://{bucket}/in", "--output", "s3://{bucket}/full"), "not empty"),
        (("s3://{bucket}/in", "--output", "s3://no-such-bucket-anywhere/x"), "no-such-bucket-anywhere"),
    ],
)
def test_invalid_s3_locations_are_refused_before_anything_runs(
    s3mr: Run, job_file: Write, aws: S3Client, bucket: str, arguments: tuple[str, ...], message: str
) -> None:
    job_file(COUNT)
    aws.put_object(Bucket=bucket, Key="in", Body=b"a\n")
    aws.put_object(Bucket=bucket, Key="full/x", Body=b"a\n")
    done = s3mr("run", "job.py:job", *(argument.format(bucket=bucket) for argument in arguments))
    assert done.returncode == 2, done.stderr.decode()
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_local_files_need_no_aws_configuration(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(COUNT)
    (tmp_path / "in.txt").write_text("a\n")
    nobody = {"AWS_PROFILE": "nobody", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    done = s3mr("run", "job.py:job", "in.txt", **nobody)
    assert done.stdout == b"a\t1\n", done.stderr.decode()
