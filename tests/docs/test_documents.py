"""The documents are complete, and what they point at is there."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import s3mr
from s3mr.cli.main import commands
from tests.docs.blocks import DOCUMENTS, ROOT

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_every_command_and_option_has_help_and_stands_in_the_documents() -> None:
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    for path, command in _commands(commands, "s3mr"):
        assert command.help, f"{path} has no help"
        for option in command.params:
            if not isinstance(option, click.Option):
                continue
            assert option.help, f"{path} {option.opts[0]} has no help"
            assert all(spelled in text for spelled in option.opts), f"{path} {option.opts} stands in no document"


def test_every_public_name_says_what_it_is() -> None:
    assert s3mr.__all__ == sorted(s3mr.__all__)
    for name in s3mr.__all__:
        assert (inspect.getdoc(getattr(s3mr, name)) or "").strip(), f"s3mr.{name} has no docstring"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for link in _LINK.findall(document.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in _anchors(target), f"{document.name}: {link}"


def test_every_test_and_file_that_a_document_names_exists() -> None:
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
    }
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        named = {name for name in re.findall(r"`(test_\w+)`", text) if not name.endswith("_")}
        assert not named - tests, f"{document.name} names tests that are not there: {sorted(named - tests)}"
        files = re.findall(r"`((?:s3mr|tests|examples|docs|\.ci)/[\w./-]*)`", text)
        missing = [name for name in files if not (ROOT / name).exists()]
        assert not missing, f"{document.name} names files that are not there: {missing}"


def test_every_target_of_make_that_is_advised_exists_and_stands_in_a_document() -> None:
    targets = set(re.findall(r"^([\w./ -]+?):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    known = {name for line in targets for name in line.split()}
    code = [path for folder in ("s3mr", "tests", "lambdas") for path in (ROOT / folder).rglob("*.py")]
    advised: set[str] = set()
    for path in [*DOCUMENTS, *code]:
        named = set(re.findall(r"`make ([\w./-]+)", path.read_text(encoding="utf-8")))
        assert named <= known, f"{path.relative_to(ROOT)} advises targets that are not there: {sorted(named - known)}"
        advised |= named if path in DOCUMENTS else set()
    assert {"deployed", "simulate", "check"} <= advised


def test_the_words_of_the_glossary_stand_in_order_and_once() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)


def test_decisions_are_numbered_short_and_say_context_decision_and_consequences() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    for path in DECISIONS:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 60, f"{path.name} is too long"
        assert lines[0].startswith(f"# {int(path.name[:4])}. "), path.name
        parts = [line for line in lines if line.startswith("## ") and line != "## Rejected"]
        assert parts == ["## Context", "## Decision", "## Consequences"], path.name


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            yield from _commands(below, f"{path} {name}")


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
