"""Find the fenced blocks of the documents, and run the commands that they show."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NOT_RUN = "<!-- not run"  # before a fence, with the reason
WILDCARD = "…"  # in a shown output: matches any text
# Lines of the summary whose figures depend on the machine or on scheduling.
_FIGURES = re.compile(r"^(shuffle  |requests |AWS      |time     )")
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block; ``run`` is true unless the document says otherwise."""

    place: str
    language: str
    text: str
    run: bool


@dataclass(frozen=True)
class Command:
    """A command after a ``$``, and the output that the document shows for it."""

    text: str
    output: list[str]


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()]
        previous = before.rstrip("\n").rpartition("\n")[2]
        place = f"{document.relative_to(ROOT)}:{before.count(chr(10)) + 1}"
        yield Block(place, fence[1], fence[2], run=not previous.startswith(NOT_RUN))


def commands(block: Block) -> Iterator[Command]:
    for shown in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        text, *output = shown.splitlines()
        yield Command(text, output)


def file_name(block: Block) -> str | None:
    """The name of the file that a Python block shows, from its first line."""
    named = re.match(r"# (\w+\.py)\n", block.text)
    return named[1] if block.language == "python" and named else None


def matches(shown: list[str], printed: list[str]) -> bool:
    return len(shown) == len(printed) and all(map(_line_matches, shown, printed))


def run(
    command: str, folder: Path, *, status: int = 0, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run ``command`` in a shell whose ``$?`` is ``status``; return its exit status and its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", f"(exit {status}); {command}"],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
        timeout=120,
    )
    return ended.returncode, ended.stdout


def _line_matches(shown: str, printed: str) -> bool:
    if _FIGURES.match(shown):
        return re.sub(r"[\d.,]+", "N", shown) == re.sub(r"[\d.,]+", "N", printed)
    return re.fullmatch(".*".join(map(re.escape, shown.split(WILDCARD))), printed) is not None
