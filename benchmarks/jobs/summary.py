"""For `benchmarks.memory`: count the values of each key, and their total length. With ``giant``, there is one key."""

from collections.abc import Iterator

from s3mr import Job, params


def keyed(_source: str, line: str) -> Iterator[tuple[str, str]]:
    yield ("all" if params["giant"] else line[:10]), line[10:]


def lengths(key: str, values: Iterator[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    count = length = 0
    for value in values:
        count += 1
        length += len(value)
    yield key, (count, length)


job = Job(map=keyed, reduce=lengths, params={"giant": ""})
