"""The folders and services of a chaos run, and checks that nothing is left there."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import boto3
from mypy_boto3_s3 import S3Client

from s3mr.endpoint import open_endpoint
from s3mr.errors import RequestError
from s3mr.model.job import JobState
from s3mr.wiring import Stack
from tests.chaos import jobs, oracle
from tests.chaos.scenario import Scenario
from tests.integration.test_processes import GONE_S_MAX, processes_of, until
from tests.warm_commands import S3MR


@dataclass
class Place:
    """A working folder, a temporary folder, and a user's bucket at the services."""

    folder: Path
    url: str
    own: str
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @contextmanager
    def made(self) -> Iterator[Self]:
        self.tmp.mkdir()
        (self.here / "in").mkdir(parents=True)
        shutil.copy(jobs.__file__, self.here)
        self.s3.create_bucket(Bucket=self.users)
        try:
            yield self
        finally:
            for command in self.running:
                command.kill()
                command.communicate()

    @property
    def here(self) -> Path:
        return self.folder / "here"

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    @property
    def users(self) -> str:
        return f"users-{self.own}"

    @cached_property
    def s3(self) -> S3Client:
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1")

    @cached_property
    def stack(self) -> Stack:
        return open_endpoint(self.url)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the command in the working folder."""
        environment = {**os.environ, "TMPDIR": str(self.tmp)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = subprocess.Popen([S3MR, *arguments], cwd=self.here, env=environment, **pipes)  # type: ignore[call-overload]
        self.running.append(command)
        return command  # type: ignore[no-any-return]

    def run_arguments(self, scenario: Scenario) -> list[str]:
        """Write the input, and return the arguments of a run over it."""
        for name, content in scenario.sources.items():
            (self.here / "in" / name).write_bytes(content)
            self.s3.put_object(Bucket=self.users, Key=f"in/{name}", Body=content)
        source = f"s3://{self.users}/in" if scenario.in_s3 else "in"
        return ["run", f"jobs.py:{scenario.job}", source, *scenario.options, "--output", self.output(scenario)]

    def output(self, scenario: Scenario) -> str:
        return f"s3://{self.users}/out" if scenario.into_s3 else "out"

    def newest(self) -> JobState | None:
        """The newest job in the table, if there is one."""
        try:
            return next(iter(self.stack.store.newest(1)), None)
        except RequestError:  # the table does not exist yet
            return None

    def assert_output(self, scenario: Scenario) -> None:
        """Check that the output equals that of a sequential run, byte for byte, and has no other files."""
        found = self._in_s3() if scenario.into_s3 else self._in_folder()
        assert found.pop("_SUCCESS")
        parts = [found[name] for name in sorted(found)]
        assert sorted(found) == [f"part-{number:05}" for number in range(len(found))]
        job = jobs.JOBS[scenario.job]
        assert (parts if job.reduce else [b"".join(parts)]) == oracle.expected(job, scenario.sources, scenario.reducers)

    def assert_no_process(self) -> None:
        until(lambda: not processes_of(self.folder), "all processes are gone", GONE_S_MAX)

    def assert_nothing_left(self) -> None:
        """Check that no process, temporary file, staging folder or open upload with data is left.

        An empty upload may remain: a worker can die after it opens an upload and before it records it. It sends data
        only after that.
        """
        self.assert_no_process()
        until(lambda: not list(self.tmp.iterdir()), "no temporary file is left", GONE_S_MAX)
        assert not [path.name for path in self.here.iterdir() if path.name.startswith(".")]
        for left in self.s3.list_multipart_uploads(Bucket=self.users).get("Uploads", []):
            parts = self.s3.list_parts(Bucket=self.users, Key=left["Key"], UploadId=left["UploadId"])
            assert "Parts" not in parts

    def job_ids_with_objects(self) -> set[str]:
        """The ids of the jobs that still have an object at the services."""
        return {key.split("/")[1] for key in self.stack.objects.list("")}

    def _in_folder(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.here / "out").iterdir()}

    def _in_s3(self) -> dict[str, bytes]:
        found = self.s3.list_objects_v2(Bucket=self.users, Prefix="out/").get("Contents", [])
        bodies = {one["Key"]: self.s3.get_object(Bucket=self.users, Key=one["Key"])["Body"] for one in found}
        return {key.removeprefix("out/"): body.read() for key, body in bodies.items()}
