"""W2 for mrjob."""

import json
from collections.abc import Iterator
from typing import ClassVar

from mrjob.job import MRJob  # type: ignore[import-not-found] # only in the environment of the peers

Key = tuple[str, int]
Totals = tuple[int, int]


class LogTotals(MRJob):  # type: ignore[misc] # mypy cannot see the base class
    JOBCONF: ClassVar = {"mapreduce.job.reduces": 8, "mapreduce.job.maps": 2}

    def mapper(self, _: None, line: str) -> Iterator[tuple[Key, Totals]]:
        entry = json.loads(line)
        yield (entry["url"], entry["status"]), (1, entry["bytes"])

    def combiner(self, key: Key, values: Iterator[Totals]) -> Iterator[tuple[Key, Totals]]:
        hits = size_bytes = 0
        for one_hits, one_bytes in values:
            hits += one_hits
            size_bytes += one_bytes
        yield key, (hits, size_bytes)

    reducer = combiner


if __name__ == "__main__":
    LogTotals.run()
