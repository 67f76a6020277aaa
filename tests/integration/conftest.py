"""Fixtures that run the whole command, as a user does, in a temporary folder."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from textwrap import dedent

import boto3
import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from tests.moto_modules import list_modules_once
from tests.services import services
from tests.warm_commands import WarmCommands

RUN_S_MAX = 240

Finished = subprocess.CompletedProcess[bytes]


@pytest.fixture
def s3mr(s3mr_alone: Callable[..., Finished]) -> Callable[..., Finished]:
    """Run ``s3mr`` in ``tmp_path``; a test module may override this to use shared services."""
    return s3mr_alone


@pytest.fixture
def s3mr_alone(tmp_path: Path, warm_commands: WarmCommands) -> Callable[..., Finished]:
    """Run ``s3mr`` with these arguments in ``tmp_path``."""

    def run(*arguments: str | Path, **environment: str) -> Finished:
        return warm_commands.run(
            arguments, folder=tmp_path, environment={**os.environ, **environment}, timeout_s=RUN_S_MAX
        )

    return run


@pytest.fixture(scope="session")
def services_url() -> Iterator[str]:
    """Services with one bucket and table that all tests share, for tests that check only what a job does."""
    with services() as shared:
        yield shared.url


@pytest.fixture
def s3mr_at_services(tmp_path: Path, warm_commands: WarmCommands, services_url: str) -> Callable[..., Finished]:
    """Run ``s3mr`` with these arguments in ``tmp_path``; jobs use the shared services instead of starting their own."""
    own = {"AWS_ACCESS_KEY_ID": "users", "AWS_SECRET_ACCESS_KEY": "own", "AWS_REGION": "us-east-1"}

    def run(*arguments: str | Path, **environment: str) -> Finished:
        return warm_commands.run(
            [*arguments, "--endpoint-url", services_url] if arguments[0] == "run" else arguments,
            folder=tmp_path,
            environment={**os.environ, **own, **environment},
            timeout_s=RUN_S_MAX,
        )

    return run


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a job file into ``tmp_path``."""

    def write(code: str, name: str = "job.py") -> Path:
        path = tmp_path / name
        path.write_text("from s3mr import Job, params\n" + dedent(code))
        return path

    return write


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The user's own S3 and other services; their contents persist for the whole module."""
    list_modules_once()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    """An S3 client; the environment holds the user's AWS configuration."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "users",
        "AWS_SECRET_ACCESS_KEY": "own",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    return boto3.client("s3")


@pytest.fixture(scope="session")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of text: the books in ``S3MR_BOOKS`` if it is set, otherwise generated text."""
    if "S3MR_BOOKS" in os.environ:
        return Path(os.environ["S3MR_BOOKS"])
    folder = tmp_path_factory.mktemp("books")
    random = Random(1)
    vocabulary = ["".join(random.choices("abcdefghijklmnopqrstuvwxyzé", k=random.randint(1, 9))) for _ in range(3000)]
    for number in range(8):
        lines = (" ".join(random.choices(vocabulary, k=random.randint(0, 14))) for _ in range(4000))
        (folder / f"book-{number}.txt").write_text("\r\n".join(lines), encoding="utf-8", newline="")
    return folder


@pytest.fixture(scope="session")
def lines_of(books: Path) -> list[tuple[str, str]]:
    """Every record of the books as (source, line), read without s3mr."""
    found = []
    for path in sorted(books.iterdir()):
        lines = path.read_bytes().split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        found += [(str(path), line.removesuffix(b"\r").decode()) for line in lines]
    return found


def parts_of(folder: Path) -> list[list[str]]:
    """The lines of each part of an output."""
    return [path.read_text().splitlines() for path in sorted(folder.glob("part-*"))]
