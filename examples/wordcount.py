"""Count the words of some text.

    s3mr run examples/wordcount.py README.md docs

prints each word and how often it occurs, sorted within each part.
"""

from collections.abc import Iterator

from s3mr import Job


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    """Yield each word of a line, once for each time it stands there."""
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    """Yield the word and how often it was seen: as combiner of one task's counts, as reducer of all."""
    yield word, sum(counts)


wordcount = Job(map=words, combine=total, reduce=total)
