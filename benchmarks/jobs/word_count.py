"""W0, W1, W4: count how often each word occurs."""

from collections.abc import Iterator

from s3mr import Job


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield word, sum(counts)


job = Job(map=words, combine=total, reduce=total)
