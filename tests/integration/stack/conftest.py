"""A stack in moto whose functions the test drives, and the commands that a user runs on it."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.integration.conftest import Finished
from tests.integration.moto_stack import KEYS, MotoStack
from tests.integration.test_processes import until
from tests.warm_commands import WarmCommand, WarmCommands

Run = Callable[..., Finished]
Write = Callable[..., Path]

COUNT = """
    def words(source, line):
        print("mapping", line)
        for word in line.split():
            yield word, 1

    def total(word, counts):
        yield word, sum(counts)

    def broken(source, line):
        raise ValueError("as planned")

    count = Job(map=words, combine=total, reduce=total, reducers=2)
    sized = Job(map=words, reduce=total)
    fails = Job(map=broken, reduce=total)
"""
OUT = "s3://{bucket}/output/{name}"


@pytest.fixture
def stack(
    endpoint: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_file: Write
) -> MotoStack:
    """A stack for this test only, with inputs a, b and c; the user's AWS configuration points to it."""
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE", "S3MR_STACK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    stack = MotoStack(endpoint, f"t{abs(hash(request.node.nodeid)) % 10**9}", tmp_path)
    for name in "abc":
        stack.s3.put_object(Bucket=stack.bucket, Key=f"input/{name}.txt", Body=f"to be {name}\n".encode())
    job_file(COUNT)
    return stack


@pytest.fixture
def no_credentials(endpoint: str) -> Callable[[], AbstractContextManager[None]]:
    """Return a context manager; within it, moto rejects all credentials."""

    def let(calls: str) -> None:
        connection = HTTPConnection(endpoint.removeprefix("http://"))
        connection.request("POST", "/moto-api/reset-auth", calls)
        assert connection.getresponse().status == 200
        connection.close()

    @contextmanager
    def refusing() -> Iterator[None]:
        let("0")
        try:
            yield
        finally:
            let("inf")

    return refusing


@pytest.fixture
def typed(s3mr: Run, stack: MotoStack) -> Run:
    """Run a command on the stack."""
    return lambda *arguments: s3mr(*arguments, "--stack", stack.name)


def job_arguments(stack: MotoStack, job: str = "count", name: str = "out") -> list[str]:
    """The arguments of a job with three map tasks over the stack's inputs."""
    output = OUT.format(bucket=stack.bucket, name=name)
    return [f"job.py:{job}", f"s3://{stack.bucket}/input/", "--output", output, "--split-size", "8"]


def submitted(typed: Run, stack: MotoStack, *more: str, **what: str) -> str:
    done = typed("submit", *job_arguments(stack, **what), *more)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def output(stack: MotoStack, name: str = "out") -> list[str]:
    found = stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix=f"output/{name}/part-").get("Contents", [])
    parts = [stack.s3.get_object(Bucket=stack.bucket, Key=one["Key"])["Body"].read().decode() for one in found]
    return sorted("".join(parts).splitlines())


COUNTED = ["a\t1", "b\t1", "be\t3", "c\t1", "to\t3"]


def job_ids(stack: MotoStack) -> list[str]:
    return [job.spec.job_id for job in stack.stack.store.newest(10)]


def start(commands: WarmCommands, stack: MotoStack, folder: Path, *more: str, **what: str) -> WarmCommand:
    """Start ``s3mr run --stack``; return when its job has been submitted."""
    arguments = ["run", *job_arguments(stack, **what), "--stack", stack.name, *more]
    running = commands.start(arguments, folder=folder, environment=os.environ)
    until(lambda: bool(job_ids(stack) and stack.executions()), "the job is submitted")
    return running
