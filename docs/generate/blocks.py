"""Generated blocks: the parts of a document that nobody types.

A document says where a block stands, and stays readable wherever Markdown is shown::

    <!-- generated: limits -->
    | limit | value |
    ...
    <!-- end -->
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

Generator = Callable[[], str]

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^(<!-- generated: ([\w-]+) -->\n).*?^(<!-- end -->)$", re.DOTALL | re.MULTILINE)


def documents() -> list[Path]:
    """Return every document of the project, in order."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def refreshed(text: str, generators: Mapping[str, Generator]) -> str:
    """Return ``text`` with every generated block written anew.

    Raises:
        KeyError: a block has a name that no generator has.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}\n{generators[found[2]]().strip()}\n\n{found[3]}", text)


def names(text: str) -> list[str]:
    """Return the names of the blocks in ``text``."""
    return [found[2] for found in _BLOCK.finditer(text)]
