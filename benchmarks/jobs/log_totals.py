"""W2: count hits and bytes for each URL and status of a log in JSON lines."""

import json
from collections.abc import Iterator

from s3mr import Job

Key = tuple[str, int]
Totals = tuple[int, int]


def requests(_source: str, line: str) -> Iterator[tuple[Key, Totals]]:
    entry = json.loads(line)
    yield (entry["url"], entry["status"]), (1, entry["bytes"])


def totals(key: Key, values: Iterator[Totals]) -> Iterator[tuple[Key, Totals]]:
    hits = size_bytes = 0
    for one_hits, one_bytes in values:
        hits += one_hits
        size_bytes += one_bytes
    yield key, (hits, size_bytes)


job = Job(map=requests, combine=totals, reduce=totals)
