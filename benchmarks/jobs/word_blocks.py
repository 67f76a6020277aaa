"""W1 with one call of map per block of lines, instead of one per line."""

from collections import Counter
from collections.abc import Iterable

from s3mr import Job, reducers


def counts(_source: str, lines: str) -> Iterable[tuple[str, int]]:
    return Counter(lines.split()).items()


job = Job(map=counts, reduce=reducers.total, input="block")
