"""Count words so that the parts, one after another, are in alphabetical order as a whole.

    s3mr run examples/first_letters.py README.md docs --reducers 4

Keys are sorted within each part. The default partition spreads them by a hash; the one here gives each part a range
of first letters, so that every key of a part comes before every key of the next: the output is sorted globally. The
parts are as uneven as the letters are. ``--param longest=8`` leaves longer words out.
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
    """Yield the word and how often it was seen."""
    yield word, sum(counts)


def by_first_letter(word: str, reducers: int) -> int:
    """Return the part of a word: the alphabet, cut into ``reducers`` ranges of about equal length."""
    return (ord(word[0]) - ord("a")) * reducers // 26


counts = Job(map=words, combine=total, reduce=total, partition=by_first_letter, params={"longest": "30"})
