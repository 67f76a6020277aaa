"""Jobs for chaos runs: with and without combiner or reduce, with keys of two types, and slow enough to be hit."""

import time
from collections.abc import Iterator

from s3mr import Job

MOMENT_S = 0.001  # so faults can also strike during user code


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    time.sleep(MOMENT_S)
    for word in line.split():
        yield word, 1


def total(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield key, sum(values)


def lengths(_source: str, line: str) -> Iterator[tuple[int, str]]:
    time.sleep(MOMENT_S)
    for word in line.split():
        yield len(word), word


def in_order(key: int, values: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Join the values in the order in which they arrive."""
    yield key, " ".join(values)


def lines(_source: str, line: str) -> Iterator[tuple[str, int]]:
    time.sleep(MOMENT_S)
    yield line, len(line)


counted = Job(map=words, combine=total, reduce=total)
counted_plainly = Job(map=words, reduce=total)
by_length = Job(map=lengths, reduce=in_order)
measured = Job(map=lines)

JOBS = {"counted": counted, "counted_plainly": counted_plainly, "by_length": by_length, "measured": measured}
