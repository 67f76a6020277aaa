"""Hostile names of files, objects and outputs: each is read unchanged, or refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from tests.integration.conftest import Finished

Run = Callable[..., Finished]
Write = Callable[..., Path]

NAMES = "job = Job(map=lambda source, line: [(source, line)])"
KEYS = [
    "in/../escaped",
    "in//double",
    "in/./dot/x",
    "in/tab\tback\\slash",
    "in/%2e%2e%2fpercent+plus&amp;?query#hash",
    "in/\x1b[31mred",
    "in/<xml>\"'&",
    "in/e\u0301 and \u202e",
    "in/" + "k" * 1021,
    "in/" + "é" * 510,
    "in/" + "😀" * 255,
    "in/part-00000",
]
LOOK_ALIKES = ["in", "inn/x", "in-other/x", "IN/x", "in\u200b/x", "/in/x"]


@pytest.fixture
def s3mr(s3mr_at_services: Run) -> Run:
    return s3mr_at_services


def shown(text: str) -> str:
    """Escape ``text`` as in a line of output."""
    for character, letter in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, letter)
    return text


def test_objects_of_any_name_are_read_under_that_name_and_look_alike_prefixes_are_not(
    s3mr_alone: Run, job_file: Write, aws: S3Client, bucket: str
) -> None:
    job_file(NAMES)
    for key in [*KEYS, *LOOK_ALIKES]:
        aws.put_object(Bucket=bucket, Key=key, Body=b"x\n")
    stored = {entry["Key"] for entry in aws.list_objects_v2(Bucket=bucket)["Contents"]}
    expected = {key for key in KEYS if key in stored and not any(part[:1] in "_." for part in key.split("/") if part)}
    done = s3mr_alone("run", "job.py", f"s3://{bucket}/in/", "--quiet")
    assert done.returncode == 0, done.stderr.decode()
    assert len(expected) >= len(KEYS) - 3
    lines = done.stdout.decode().split("\n")[:-1]
    assert sorted(lines) == sorted(f"{shown(f's3://{bucket}/{key}')}\tx" for key in expected)


def test_files_of_any_name_are_read_under_that_name(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(NAMES)
    names = [b"new\nline", b"\x1b[31mred", b"tab\t\\", b"no utf8 \xff", b"n" * 255, b"--output", "é".encode()]
    (tmp_path / "in").mkdir()
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name)).write_bytes(b"x\n")
    done = s3mr("run", "job.py", "in", "--quiet")
    assert done.returncode == 0, done.stderr.decode()
    expected = [b"in/" + name.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n") for name in names]
    assert sorted(done.stdout.split(b"\n")[:-1]) == sorted(name + b"\tx" for name in expected)


@pytest.mark.parametrize("output", ["jobs/../out", "new\nline \x1b[31mé", "o" * 150])
def test_an_output_of_any_name_is_written_under_that_name(
    s3mr: Run, job_file: Write, tmp_path: Path, output: str
) -> None:
    job_file(NAMES)
    (tmp_path / "a.txt").write_text("x\n")
    (tmp_path / "jobs").mkdir()
    done = s3mr("run", "job.py", "a.txt", "--quiet", "--output", output)
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / output / "part-00000").read_text() == "a.txt\tx\n"


def test_an_output_does_not_touch_outputs_with_a_longer_name(
    s3mr_alone: Run, job_file: Write, aws: S3Client, bucket: str, tmp_path: Path
) -> None:
    job_file(NAMES)
    (tmp_path / "a.txt").write_text("x\n")
    for key in ("out/jobs/ab/part-00000", "out/jobs/a-b", "out/jobs/a.", "out/jobs"):
        aws.put_object(Bucket=bucket, Key=key, Body=b"theirs")
    done = s3mr_alone("run", "job.py", "a.txt", "--quiet", "--output", f"s3://{bucket}/out/jobs/a")
    assert done.returncode == 0, done.stderr.decode()
    found = [entry["Key"] for entry in aws.list_objects_v2(Bucket=bucket, Prefix="out")["Contents"]]
    assert found == sorted(
        [
            "out/jobs",
            "out/jobs/a-b",
            "out/jobs/a.",
            "out/jobs/a/_SUCCESS",
            "out/jobs/a/part-00000",
            "out/jobs/ab/part-00000",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["job.py", "no\x1b]0;title\x07such"], "no such file or directory: no\\x1b]0;title\\x07such"),
        (["job.py", "s3://abc/" + "k" * 1025], "not an S3 key"),
        (["job.py", "a" * 5000], "name too long"),
        (["job.py", "a.txt", "--output", "o" * 300], "name too long"),
    ],
)
def test_invalid_names_are_refused_and_their_control_characters_escaped(
    s3mr: Run, job_file: Write, tmp_path: Path, arguments: list[str], words: str
) -> None:
    job_file(NAMES)
    (tmp_path / "a.txt").write_text("x\n")
    done = s3mr("run", *arguments, "--quiet")
    stderr = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in stderr
    assert "Traceback" not in stderr
    assert not set(map(chr, range(32))) - {"\n", "\t"} & set(stderr)


def test_control_characters_in_a_source_name_are_escaped(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file("def broken(source, line):\n    raise ValueError(source)\n\njob = Job(map=broken)")
    (tmp_path / "\x1b[2Jred").write_text("x\n")
    done = s3mr("run", "job.py", "\x1b[2Jred".replace("[", "?"), "--quiet")
    stderr = done.stderr.decode()
    assert done.returncode == 1
    assert "source: \\x1b[2Jred" in stderr
    assert "\x1b" not in stderr


def test_an_input_that_changes_or_vanishes_after_planning_fails_the_job_by_name(
    s3mr_alone: Run, job_file: Write, aws: S3Client, bucket: str
) -> None:
    job_file(
        """
        import boto3

        def changing(source, line):
            boto3.client("s3").put_object(Bucket="hostile", Key="changing/b", Body=b"other!")
            yield source, line

        def removing(source, line):
            boto3.client("s3").delete_object(Bucket="hostile", Key="changing/b")
            yield source, line

        changes = Job(map=changing)
        removes = Job(map=removing)
        """
    )
    for name, words in (("changes", "changed since it was planned"), ("removes", "vanished since it was planned")):
        for key in ("changing/a", "changing/b"):
            aws.put_object(Bucket=bucket, Key=key, Body=b"line\n")
        done = s3mr_alone(
            "run", f"job.py:{name}", f"s3://{bucket}/changing", "--quiet", "--workers", "1", "--split-size", "5"
        )
        assert (done.returncode, done.stdout) == (1, b"")
        assert f"{words}: s3://{bucket}/changing/b" in done.stderr.decode()
