"""Fixtures for jobs at an endpoint: services that persist, and a job that logs its steps and obeys control files."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import IO

import boto3
import pytest
from mypy_boto3_s3 import S3Client

from s3mr.endpoint import open_endpoint
from s3mr.model import object_names
from s3mr.model.job import JobState, Phase
from s3mr.wiring import Stack
from tests.integration.conftest import RUN_S_MAX, Finished
from tests.integration.test_processes import GONE_S_MAX, processes_of, until
from tests.services import services
from tests.warm_commands import WarmCommand, WarmCommands

# Writes each step to `log`; waits while the file `hold` names the step, raises if the file `broken` names it.
JOB = """
    import os, re, time
    from pathlib import Path

    from s3mr import Job

    def enter(what):
        with open("log", "a") as file:
            file.write(f"{what}\\n")
        if what in named("broken"):
            raise ValueError(f"{what} is broken")
        if f"busy {what}" in named("hold"):
            re.match("(a+)+$", "a" * 60 + "b")  # holds the GIL longer than any test waits
        while what in named("hold"):
            time.sleep(0.01)

    def named(file):
        return Path(file).read_text().splitlines() if Path(file).exists() else ()

    def mapping(source, text):
        enter(f"map {Path(source).name}")
        for word in text.split():
            yield word, 1

    def reducing(word, counts):
        enter(f"reduce {word}")
        yield word, sum(counts)

    job = Job(map=mapping, reduce=reducing, input="whole")
    only_map = Job(map=mapping, input="whole")
"""
INPUTS = {f"{name}.txt": f"{name} both\n" for name in "abcdef"}
EXPECTED = sorted([f"{name}\t1" for name in "abcdef"] + [f"both\t{len(INPUTS)}"])


@pytest.fixture(scope="module")
def serving() -> Iterator[Callable[[], str]]:
    """Return a function that starts services for the rest of the module and returns their URL."""
    with ExitStack() as started:
        yield lambda: started.enter_context(services()).url


@pytest.fixture(scope="module")
def url(serving: Callable[[], str]) -> str:
    return serving()


@dataclass
class Place:
    """A working folder, a temporary folder, and services with a bucket and a table for this test only."""

    here: Path
    tmp: Path
    url: str
    commands: WarmCommands
    running: list[WarmCommand] = field(default_factory=list)

    def start(
        self, *arguments: str, folder: Path | None = None, stdout: int | IO[bytes] = subprocess.PIPE
    ) -> WarmCommand:
        command = self.commands.start(
            [*arguments, "--endpoint-url", self.url],
            folder=folder or self.here,
            environment={**os.environ, "TMPDIR": str(self.tmp)},
            stdout=stdout,
        )
        self.running.append(command)
        return command

    def s3mr(self, *arguments: str, folder: Path | None = None) -> Finished:
        return self.commands.run(
            [*arguments, "--endpoint-url", self.url],
            folder=folder or self.here,
            environment={**os.environ, "TMPDIR": str(self.tmp)},
            timeout_s=RUN_S_MAX,
        )

    def run(self, *options: str, job: str = "job") -> list[str]:
        """The arguments of a run over the inputs, one map task per input."""
        return ["run", f"job.py:{job}", "in", "--split-size", "1", "--workers", "2", "--reducers", "3", *options]

    def write_lines(self, file: str, *lines: str) -> None:
        (self.here / file).write_text("".join(f"{line}\n" for line in lines))

    def log(self) -> list[str]:
        path = self.here / "log"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def stack(self) -> Stack:
        return open_endpoint(self.url)

    def newest(self) -> JobState:
        return self.stack.store.newest(1)[0]

    def winners(self, phase: Phase) -> int:
        return len(list(self.stack.store.all_manifests(self.newest(), phase)))

    def killed(self, *, phase: Phase, held: str, options: tuple[str, ...] = ("--output", "out")) -> str:
        """Run the job, and kill the command when only the held task of ``phase`` is left; return the job's id."""
        self.write_lines("hold", held)
        command = self.start(*self.run(*options))
        done = 5 if phase is Phase.MAP else 2
        until(
            lambda: held in self.log() and self.winners(phase) == done, f"{held} is held, and all other tasks are done"
        )
        command.kill()
        command.communicate()
        (self.here / "hold").unlink()
        return self.newest().spec.job_id

    def assert_no_process(self) -> None:
        until(lambda: not processes_of(self.tmp.parent), "all processes are gone", GONE_S_MAX)

    def assert_nothing_left(self) -> None:
        """Check that no process, temporary file, staging folder or object of the job is left."""
        self.assert_no_process()
        until(lambda: not list(self.tmp.iterdir()), "no temporary file is left", GONE_S_MAX)
        assert not [path.name for path in self.here.iterdir() if path.name.startswith(".")]
        assert not list(self.stack.objects.list(object_names.job_prefix(self.newest().spec.job_id)))
        assert not list(self.stack.objects.list(object_names.plan_prefix(self.newest().spec.job_id)))


@pytest.fixture
def place(
    tmp_path: Path,
    url: str,
    warm_commands: WarmCommands,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Place]:
    if not Path("/proc/self/cwd").exists():
        pytest.skip("looks for processes in /proc; run on Linux")
    here, tmp = tmp_path / "here", tmp_path / "tmp"
    (here / "in").mkdir(parents=True)
    tmp.mkdir()
    (here / "job.py").write_text(dedent(JOB))
    for name, text in INPUTS.items():
        (here / "in" / name).write_text(text)
    own = f"own-{abs(hash(request.node.name)) % 10**8}"
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # no service listens there: --endpoint-url takes precedence
        "AWS_ACCESS_KEY_ID": "users",
        "AWS_SECRET_ACCESS_KEY": "own",
        "AWS_REGION": "us-east-1",
        "S3MR_BUCKET": own,
        "S3MR_TABLE": own,
    }.items():
        monkeypatch.setenv(name, value)
    made = Place(here, tmp, url, warm_commands)
    yield made
    for process in made.running:
        process.kill()
        process.communicate()


@pytest.fixture
def s3(place: Place) -> S3Client:
    return boto3.client("s3", endpoint_url=place.url, region_name="us-east-1")


@pytest.fixture
def bucket(s3: S3Client, request: pytest.FixtureRequest) -> str:
    """The user's bucket, which contains the inputs."""
    name = f"users-{abs(hash(request.node.name)) % 10**8}"
    s3.create_bucket(Bucket=name)
    for key, text in INPUTS.items():
        s3.put_object(Bucket=name, Key=f"in/{key}", Body=text.encode())
    return name


def lines_of(folder: Path) -> list[str]:
    return sorted(line for part in folder.glob("part-*") for line in part.read_text().splitlines())


def lines_in(s3: S3Client, bucket: str, prefix: str) -> list[str]:
    found = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
    parts = [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in found if "/part-" in key]
    return sorted(line for part in parts for line in part.splitlines())
