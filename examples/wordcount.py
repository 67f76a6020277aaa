"""Count how often each word occurs.

    s3mr run examples/wordcount.py README.md docs

prints each word and how often it occurs, sorted within each part.
"""

from collections.abc import Iterator

from s3mr import Job


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    """Yield each word of a line, once per occurrence."""
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    """Yield the word and its total. This is both the combiner of one task and the reducer of all tasks."""
    yield word, sum(counts)


wordcount = Job(map=words, combine=total, reduce=total)
