"""List, for each word, the sources that contain it.

    s3mr run examples/inverted_index.py README.md docs

prints each word with the sorted list of its sources, as JSON. Words are runs of letters, in lower case.
"""

import re
from collections.abc import Iterator

from s3mr import Job

_WORD = re.compile(r"[^\W\d_]+")


def words(source: str, line: str) -> Iterator[tuple[str, str]]:
    """Yield each word of a line with the source of the line."""
    for word in set(_WORD.findall(line.lower())):
        yield word, source


def distinct(word: str, sources: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the word once with each source. A combiner may yield several values, but only for its own key."""
    for source in sorted(set(sources)):
        yield word, source


def listed(word: str, sources: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the word with all its sources."""
    yield word, sorted(set(sources))


index = Job(map=words, combine=distinct, reduce=listed)
