"""The documents are complete, and everything they refer to exists."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import s3mr
from docs.generate.blocks import names, refreshed
from docs.generate.registry import GENERATORS
from s3mr.cli.main import commands
from s3mr.model.result import JobResult
from tests.docs.blocks import DOCUMENTS, ROOT

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_every_command_and_option_has_help_and_an_entry_in_the_reference() -> None:
    sections = _sections("reference/command-line.md")
    for path, command in _commands(commands, "s3mr"):
        assert command.help, f"{path} has no help"
        assert path in sections, f"{path} has no section in the reference"
        for option in command.params:
            if not isinstance(option, click.Option):
                continue
            assert option.help, f"{path} {option.opts[0]} has no help"
            rows = re.findall(r"^\| `(.+?)`", sections[path], re.MULTILINE)
            assert any(set(option.opts) <= set(row.split(", ")) for row in rows), f"{path} {option.opts} has no row"


def test_every_public_name_has_a_docstring_and_a_section_in_the_reference() -> None:
    assert s3mr.__all__ == sorted(s3mr.__all__)
    sections = _sections("reference/python-api.md")
    for name in s3mr.__all__:
        assert (inspect.getdoc(getattr(s3mr, name)) or "").strip(), f"s3mr.{name} has no docstring"
        assert sections.get(f"s3mr.{name}", "").strip(), f"s3mr.{name} has no section in the reference"
    reducers = [f"s3mr.reducers.{name}" for name in s3mr.reducers.__all__]
    methods = [
        f"{shown}.{name}"
        for shown, owner in (("s3mr.Job", s3mr.Job), ("JobResult", JobResult))
        for name, value in vars(owner).items()
        if inspect.isfunction(value) and not name.startswith("_")
    ]
    assert {"s3mr.Job.run", "JobResult.lines"} <= set(methods)
    for name in [*reducers, *methods]:
        assert sections.get(name, "").strip(), f"{name} has no section in the reference"


def test_every_generated_part_of_a_document_is_up_to_date() -> None:
    found = set()
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        found |= set(names(text))
        assert text.count("<!-- generated: ") == len(names(text)), f"{document.name}: a generated block has no end"
        assert refreshed(text, GENERATORS) == text, f"{document.relative_to(ROOT)} is out of date: make docs"
    assert found == GENERATORS.keys()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


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
        assert not named - tests, f"{document.name} names tests that do not exist: {sorted(named - tests)}"
        files = re.findall(r"`((?:s3mr|tests|examples|docs|\.ci)/[\w./-]*)`", text)
        missing = [name for name in files if not (ROOT / name).exists()]
        assert not missing, f"{document.name} names files that do not exist: {missing}"


def test_every_make_target_that_is_named_exists_and_the_main_ones_are_documented() -> None:
    targets = set(re.findall(r"^([\w./ -]+?):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    known = {name for line in targets for name in line.split()}
    code = [path for folder in ("s3mr", "tests", "lambdas") for path in (ROOT / folder).rglob("*.py")]
    advised: set[str] = set()
    for path in [*DOCUMENTS, *code]:
        named = set(re.findall(r"`make ([\w./-]+)", path.read_text(encoding="utf-8")))
        assert named <= known, f"{path.relative_to(ROOT)} names targets that do not exist: {sorted(named - known)}"
        advised |= named if path in DOCUMENTS else set()
    assert {"deployed", "simulate", "check"} <= advised


def test_the_words_of_the_glossary_are_sorted_and_unique() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)


def test_decisions_are_short_indexed_and_have_the_three_required_sections() -> None:
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \| \[(.+?)\]\((\S+)\)", index, re.MULTILINE)
    assert [name for _, _, name in listed] == [path.name for path in DECISIONS]
    for (number, title, _), path in zip(listed, DECISIONS, strict=True):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 80, f"{path.name} is too long"
        assert path.name.startswith(f"{int(number):04}-"), path.name
        assert lines[0].startswith(f"# {number}. {title}"), path.name
        parts = [line for line in lines if line.startswith("## ") and line != "## Rejected"]
        assert parts == ["## Context", "## Decision", "## Consequences"], path.name


def _sections(name: str) -> dict[str, str]:
    """Return the text below each heading of a document, up to the next heading."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    pieces = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)[1:]
    return {heading.partition("(")[0]: body for heading, body in zip(pieces[::2], pieces[1::2], strict=True)}


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
