"""W3 for mrjob."""

from collections.abc import Iterator
from typing import ClassVar

from mrjob.job import MRJob  # type: ignore[import-not-found] # only in the environment of the peers

KEY_LENGTH = 10


class Shuffle(MRJob):  # type: ignore[misc] # mypy cannot see the base class
    JOBCONF: ClassVar = {"mapreduce.job.reduces": 8, "mapreduce.job.maps": 2}

    def mapper(self, _: None, line: str) -> Iterator[tuple[str, str]]:
        yield line[:KEY_LENGTH], line[KEY_LENGTH:]

    def reducer(self, key: str, values: Iterator[str]) -> Iterator[tuple[str, str]]:
        for value in values:
            yield key, value


if __name__ == "__main__":
    Shuffle.run()
