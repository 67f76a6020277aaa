"""Count words, with a custom partition that sorts the whole output alphabetically, across parts.

    s3mr run examples/first_letters.py README.md docs --reducers 4

Keys are always sorted within a part. The default partition spreads them by a hash. This one gives each part a range of
first letters, so every key of a part comes before every key of the next part. Some letters are more common, so the
parts have different sizes. ``--param longest=8`` skips longer words.
"""

import re
from collections.abc import Iterator

from s3mr import Job, params

_WORD = re.compile(r"[a-z]+")


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    """Yield each word of a line in lower case, unless it is longer than the parameter ``longest`` allows."""
    longest = int(params["longest"])
    for word in _WORD.findall(line.lower()):
        if len(word) <= longest:
            yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    """Yield the word and how often it occurs."""
    yield word, sum(counts)


def by_first_letter(word: str, reducers: int) -> int:
    """Return the part of a word. Each part has a range of about ``26 / reducers`` letters."""
    return (ord(word[0]) - ord("a")) * reducers // 26


counts = Job(map=words, combine=total, reduce=total, partition=by_first_letter, params={"longest": "30"})
