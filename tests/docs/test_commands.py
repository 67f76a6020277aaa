"""Run every command that the documents show, and compare its output."""

import shutil
import sys
from pathlib import Path

import boto3
import pytest

from s3mr.local.cloud import EmbeddedCloud
from tests.docs.blocks import DOCUMENTS, ROOT, Block, blocks, commands, file_name, matches, run

RUN = [d for d in DOCUMENTS if any(block.language == "console" and block.run for block in blocks(d))]


@pytest.fixture
def users_aws(cloud: EmbeddedCloud) -> dict[str, str]:
    """The user's own S3, with the buckets that the documents name."""
    endpoint = cloud.settings.endpoint_url
    assert endpoint is not None
    key = cloud.settings.embedded_key
    assert key is not None
    session = boto3.session.Session(key.key_id, key.secret, region_name="us-east-1")
    client = session.client("s3", endpoint_url=endpoint)
    for bucket in ("my-logs", "my-results"):
        client.create_bucket(Bucket=bucket)
    client.put_object(Bucket="my-logs", Key="2026/01.txt", Body=b"a line\n")
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key.key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.mark.parametrize("document", RUN, ids=lambda document: document.name)
def test_every_command_of_a_document_prints_what_the_document_shows(
    document: Path, tmp_path: Path, users_aws: dict[str, str]
) -> None:
    for block in blocks(document):
        if name := file_name(block):
            (tmp_path / name).write_text(block.text, encoding="utf-8")
        if block.language == "console" and block.run:
            _run_all(block, tmp_path, users_aws)


def test_every_command_or_program_shown_to_the_reader_is_tested_or_says_why_not() -> None:
    kinds = {block.language for document in DOCUMENTS for block in blocks(document)}
    assert kinds <= {"console", "python", "text", "mermaid"}
    python = [block for document in DOCUMENTS for block in blocks(document) if block.language == "python"]
    assert all(file_name(block) for block in python)


def test_the_recipe_of_make_demo_prints_the_most_common_words(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/glossary.md").write_text("b a a\na c b\n", encoding="utf-8")
    (tmp_path / "LICENSE").write_text("a b\n", encoding="utf-8")
    (tmp_path / "CONTRIBUTING.md").write_text(" ".join(f"w{number}" for number in range(40)), encoding="utf-8")
    binaries = Path(sys.executable).parent
    status, printed = run(f"make --no-print-directory -o .venv/demo BIN={binaries} demo 2> err.txt", tmp_path)
    assert status == 0, (tmp_path / "err.txt").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in printed.splitlines()]
    assert lines[:4] == [["a", "4"], ["b", "3"], ["c", "1"], ["w0", "1"]]
    assert len(lines) == 20
    assert not list(tmp_path.glob(".*"))


def test_make_help_lists_the_targets() -> None:
    status, printed = run("make help", ROOT)
    assert status == 0
    assert {"make demo", "make test", "make check"} <= {" ".join(line.split()[:2]) for line in printed.splitlines()}


def test_make_nightly_runs_every_step_and_names_those_that_failed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$*" >> calls\ncase "$*" in *pairs*|*chaos*) exit 1;; esac\n', encoding="utf-8")
    python.chmod(0o755)
    nightly = "make -o .venv/dev -o .venv/sam/.done -o .venv/emulator/.done BIN=bin nightly 2> err.txt"
    status, printed = run(nightly, tmp_path)
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert ["pairs" in calls[1], "chaos" in calls[3], "browser" in calls[6], "emulator" in calls[7], len(calls)] == [
        True
    ] * 4 + [8]
    assert (status, "failed: nightly-pairs nightly-chaos" in printed.splitlines()) == (2, True)
    python.write_text("#!/bin/sh\n", encoding="utf-8")
    assert run(nightly, tmp_path)[0] == 0


def _run_all(block: Block, folder: Path, environment: dict[str, str]) -> None:
    status = 0
    for command in commands(block):
        status, printed = run(command.text, folder, status=status, environment=environment)
        assert matches(command.output, printed.splitlines()), f"{block.place}: $ {command.text}\n{printed}"
        assert status == 0 or command.output, f"{block.place}: $ {command.text} ended with {status}"
