"""Count the words of some text."""

from collections.abc import Iterator

from s3mr import Job


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    """Yield each word of a line, once for each time it stands there."""
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    """Yield the word and how often it was seen."""
    yield word, sum(counts)


wordcount = Job(map=words, combine=total, reduce=total)
