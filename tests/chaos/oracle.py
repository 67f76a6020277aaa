"""Compute the expected output of a job: run its functions sequentially, one record after another.

The only code it shares with s3mr is the format of a line and the hash of a key.
"""

import gzip
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from s3mr import Job
from s3mr.formats.output_lines import format_pair
from s3mr.shuffle.partitioning import stable_hash


def expected(job: Job, sources: Mapping[str, bytes], reducers: int) -> list[bytes]:
    """Return the content of each part; without reduce, the concatenation of all parts as one item."""
    records = [(source, line) for source in sorted(sources) for line in _lines(source, sources[source])]
    pairs: list[tuple[Any, Any]] = [pair for source, line in records for pair in job.map(source, line)]
    if job.reduce is None:
        return [b"".join(format_pair(*pair) for pair in pairs)]
    groups = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    parts = [b""] * reducers
    for key in sorted(groups):
        for pair in job.reduce(key, iter(groups[key])):
            parts[stable_hash(key) % reducers] += format_pair(*pair)
    return parts


def _lines(source: str, content: bytes) -> list[str]:
    text = (gzip.decompress(content) if source.endswith(".gz") else content).decode()
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]
