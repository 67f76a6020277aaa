"""W0, W1, W4 for mrjob."""

from collections.abc import Iterator
from typing import ClassVar

from mrjob.job import MRJob  # type: ignore[import-not-found] # only in the environment of the peers


class WordCount(MRJob):  # type: ignore[misc] # mypy cannot see the base class
    JOBCONF: ClassVar = {"mapreduce.job.reduces": 8, "mapreduce.job.maps": 2}

    def mapper(self, _: None, line: str) -> Iterator[tuple[str, int]]:
        for word in line.split():
            yield word, 1

    def combiner(self, word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
        yield word, sum(counts)

    def reducer(self, word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
        yield word, sum(counts)


if __name__ == "__main__":
    WordCount.run()
