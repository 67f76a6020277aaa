"""``s3mr verify`` on folders and prefixes: its messages and exit statuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from tests.integration.conftest import Finished
from tests.integration.test_s3 import COUNT, bucket

__all__ = ["bucket"]  # a fixture: a bucket in the user's own S3

Run = Callable[..., Finished]
Write = Callable[..., Path]


@pytest.fixture
def s3mr(s3mr_at_services: Run) -> Run:
    return s3mr_at_services


@pytest.fixture
def out(s3mr: Run, job_file: Write, tmp_path: Path) -> Path:
    """A committed output of two parts."""
    job_file(COUNT)
    (tmp_path / "in.txt").write_text("to be or not to be\n")
    done = s3mr("run", "job.py:job", "in.txt", "--output", "out", "--reducers", "2", "--quiet")
    assert done.returncode == 0, done.stderr.decode()
    return tmp_path / "out"


def test_a_committed_folder_is_verified(s3mr: Run, out: Path) -> None:
    job_id = json.loads((out / "_SUCCESS").read_bytes())["job_id"]
    size_bytes = sum(path.stat().st_size for path in out.glob("part-*"))
    done = s3mr("verify", "out/")
    expected = f"verified: 2 parts, 4 records, {size_bytes} bytes, as job {job_id} committed them\n"
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, expected, b"")


def test_every_difference_is_listed_with_both_values_and_the_exit_status_is_1(s3mr: Run, out: Path) -> None:
    whole = (out / "part-00000").read_bytes()
    (out / "part-00000").write_bytes(whole.swapcase())
    (out / "part-00001").unlink()
    (out / "part-00002").write_bytes(b"x\t1\n")
    done = s3mr("verify", "out")
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert (done.returncode, done.stderr) == (1, b"")
    assert [line[:2] for line in lines[1:-1]] == [
        ["part-00000", "crc32c"],
        ["part-00001", "existence"],
        ["part-00002", "existence"],
    ]
    assert " ".join(lines[-1]) == "not verified: 3 differences"
    result = json.loads(s3mr("verify", "out", "--json").stdout)
    assert (result["output"], result["proven"], result["differences_count"]) == ("out", False, 3)
    crc32c = result["differences"][0]
    assert (crc32c["name"], crc32c["what"]) == ("part-00000", "crc32c")
    assert crc32c["expected"] in (out / "_SUCCESS").read_text()
    assert crc32c["found"] != crc32c["expected"]


def test_an_output_that_was_not_committed_is_refused_with_exit_status_2(s3mr: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for what in ("empty", "nowhere"):
        done = s3mr("verify", what)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.decode() == f"s3mr: not committed: there is no _SUCCESS in {what}\n"
    assert s3mr("verify", "s3://B/out").stderr.startswith(b"s3mr: not an S3 URI")
    assert s3mr("verify").returncode == 2
    job = s3mr("verify", "20260102-030405-0a1b2c3d", S3MR_STACK="")
    assert (job.returncode, job.stderr[:24]) == (2, b"s3mr: no place is named:")


@pytest.mark.usefixtures("out")
def test_a_prefix_is_verified_at_the_configured_endpoint_and_at_endpoint_url(
    s3mr_alone: Run, aws: S3Client, bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"s3://{bucket}/results/out"
    assert s3mr_alone("run", "job.py:job", "in.txt", "--output", uri, "--reducers", "2", "--quiet").returncode == 0
    assert s3mr_alone("verify", uri).stdout.startswith(b"verified: 2 parts, 4 records, ")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # no service listens there
    assert s3mr_alone("verify", f"{uri}/", "--endpoint-url", endpoint).returncode == 0
    body = aws.get_object(Bucket=bucket, Key="results/out/part-00001")["Body"].read()
    aws.put_object(Bucket=bucket, Key="results/out/part-00001", Body=body[:-1])
    differs = s3mr_alone("verify", uri, "--json", "--endpoint-url", endpoint)
    assert differs.returncode == 1
    assert [one["what"] for one in json.loads(differs.stdout)["differences"]] == ["size_bytes", "records", "crc32c"]
    none = s3mr_alone("verify", f"s3://{bucket}/results", "--endpoint-url", endpoint)
    assert (none.returncode, b"not committed" in none.stderr) == (2, True)
