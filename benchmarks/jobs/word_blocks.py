"""W1 with a call of map for each block of lines, and not for each line."""

from collections import Counter
from collections.abc import Iterable

from s3mr import Job, reducers


def counts(_source: str, lines: str) -> Iterable[tuple[str, int]]:
    return Counter(lines.split()).items()


job = Job(map=counts, reduce=reducers.total, input="block")
