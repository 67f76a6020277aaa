"""A user of the command on a deployed stack, who has only the permissions of the stack's SubmitPolicy."""

import itertools
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

from tests.deployed.harness.stack import Stack
from tests.warm_commands import S3MR, WarmCommands

COMMAND_S_MAX: Final = 120
Finished = subprocess.CompletedProcess[str]


@dataclass
class Person:
    """Runs commands in ``folder``. Inputs and outputs get their own prefixes in ``inputs`` and ``outputs``."""

    stack: Stack
    credentials: dict[str, str]
    folder: Path
    inputs: str
    outputs: str
    commands: WarmCommands
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def job(self, code: str) -> Path:
        """Write a job file."""
        path = self.folder / f"job{next(self.numbers)}.py"
        path.write_text("from s3mr import Job, params\n" + dedent(code))
        return path

    def upload(self, *texts: str) -> str:
        """Upload an object for each text; return the URI of their prefix."""
        prefix = f"in-{next(self.numbers)}"
        for number, text in enumerate(texts):
            self.s3.put_object(Bucket=self.inputs, Key=f"{prefix}/{number}.txt", Body=text.encode())
        return f"s3://{self.inputs}/{prefix}/"

    def output(self) -> str:
        """Return the URI of an unused output."""
        return f"s3://{self.outputs}/out-{next(self.numbers)}/"

    def run(self, *arguments: str | Path, expect: int | None = 0) -> Finished:
        """Run ``s3mr …`` on the stack, to its end.

        Raises:
            AssertionError: the exit status is not ``expect``.
        """
        ran = self.commands.run(
            [*arguments, "--stack", self.stack.name],
            folder=self.folder,
            environment=self._environment(),
            timeout_s=COMMAND_S_MAX,
        )
        finished = Finished(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())
        said = (
            f"s3mr {' '.join(map(str, arguments))}: status {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
        )
        assert expect is None or finished.returncode == expect, said
        return finished

    def ask(self, *arguments: str | Path, expect: int | None = 0) -> Any:
        """Run a command with ``--json`` and return its result."""
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)

    def run_all(self, commands: Sequence[Sequence[str | Path]]) -> None:
        """Run several commands at once, each to its end.

        Raises:
            AssertionError: one fails; the others are killed.
        """
        with ExitStack() as stack:
            running = []
            for command in commands:
                process = subprocess.Popen(
                    self._command(tuple(command)), cwd=self.folder, env=self._environment(), text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                )  # fmt: skip
                stack.enter_context(process)
                stack.callback(process.kill)
                running.append(process)
            for process in running:
                said = process.communicate(timeout=COMMAND_S_MAX)
                assert process.returncode == 0, said

    def submit(self, *arguments: str | Path) -> str:
        """Submit a job and return its ID."""
        return self.run("submit", *arguments).stdout.strip()

    def names(self, output: str) -> list[str]:
        """Return the names of an output's objects."""
        return [key.rpartition("/")[2] for key in self._keys(output)]

    def lines(self, output: str) -> list[str]:
        """Return the lines of a committed output, part by part."""
        assert "_SUCCESS" in self.names(output)
        found = []
        for key in self._keys(output):
            if not key.endswith("_SUCCESS"):
                found += self.s3.get_object(Bucket=output.split("/")[2], Key=key)["Body"].read().decode().splitlines()
        return found

    def uploads(self, output: str, part: str = "part-") -> list[tuple[str, str]]:
        """Return key and ID of each open upload of an output, or of one part."""
        bucket, _, prefix = output.removeprefix("s3://").partition("/")
        found = self.s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix + part).get("Uploads", [])
        return [(one["Key"], one["UploadId"]) for one in found]

    @property
    def s3(self) -> Any:
        """A client for S3 with all permissions."""
        return self.stack.cloud.administrators("s3")

    def _keys(self, output: str) -> list[str]:
        bucket, _, prefix = output.removeprefix("s3://").partition("/")
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
        return [found["Key"] for found in listed.get("Contents", [])]

    def _command(self, arguments: tuple[str | Path, ...]) -> list[str]:
        return [str(S3MR), *map(str, arguments), "--stack", self.stack.name]

    def _environment(self) -> dict[str, str]:
        return environment(self.credentials)


def environment(credentials: dict[str, str]) -> dict[str, str]:
    """Return the environment variables of a command that acts as a user of the cloud."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3MR_", "PYTHON"))}
    return {**ours, **credentials, "AWS_EC2_METADATA_DISABLED": "true"}
