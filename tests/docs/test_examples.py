"""Run every example with the command in its docstring, and check its output."""

import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, run

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TEXTS = {
    "README.md": "the quick brown fox\nthe lazy dog — naïve café\n\n",
    "docs/one.md": "The DOG\tand the fox:\nx_1 and 42\n",
    "docs/decisions/0001-two.md": "zebra the Zebra\rzulu fox",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the commands of the examples run on known texts."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in TEXTS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return tmp_path


def printed(example: str, checkout: Path) -> list[tuple[str, str]]:
    """Run the command of an example's docstring; return the pairs that it prints."""
    command = _command(checkout / "examples" / example)
    status, output = run(f"{command} --quiet", checkout)
    assert status == 0, output
    pairs = []
    for line in output.split("\n")[:-1]:
        key, value = line.split("\t")
        pairs.append((key, value))
    return pairs


def test_wordcount_counts_every_word(checkout: Path) -> None:
    expected = Counter(word for text in TEXTS.values() for word in text.split())
    assert sorted(printed("wordcount.py", checkout)) == sorted((word, str(count)) for word, count in expected.items())


def test_the_inverted_index_names_the_sources_of_every_word(checkout: Path) -> None:
    expected = defaultdict(set)
    for source, text in TEXTS.items():
        for word in re.findall(r"[^\W\d_]+", text.lower()):
            expected[word].add(source)
    lines = [(word, "[" + ",".join(f'"{one}"' for one in sorted(sources)) + "]") for word, sources in expected.items()]
    assert sorted(printed("inverted_index.py", checkout)) == sorted(lines)


def test_parts_by_first_letter_are_sorted_as_a_whole(checkout: Path) -> None:
    expected = Counter(word for text in TEXTS.values() for word in re.findall(r"[a-z]+", text.lower()))
    assert printed("first_letters.py", checkout) == sorted((word, str(count)) for word, count in expected.items())


def test_first_letters_spread_over_any_number_of_parts() -> None:
    from examples.first_letters import by_first_letter

    for reducers in (1, 2, 7, 26):
        parts = [by_first_letter(chr(letter), reducers) for letter in range(ord("a"), ord("z") + 1)]
        assert parts == sorted(parts)
        assert set(parts) == set(range(reducers))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_shows_its_command(example: Path) -> None:
    assert f"examples/{example.name}" in _command(example)


def _command(example: Path) -> str:
    found = re.search(r"^    (s3mr run .*)$", example.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{example.name} has no command in its docstring"
    return found[1]
