"""What an order says where neither a job nor its options do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3mr import Job, limits, reducers
from s3mr.options import Options, Surroundings, order_of
from s3mr.usercode.location import Code


def pairs(_first: Any, _second: Any) -> Iterator[tuple[str, int]]:
    yield "a", 1


@pytest.mark.parametrize(
    ("job", "split_bytes_max"),
    [
        (Job(map=pairs, reduce=pairs, combine=pairs), 2 * limits.SPLIT_SIZE_BYTES),
        (Job(map=pairs, reduce=reducers.total), 2 * limits.SPLIT_SIZE_BYTES),
        (Job(map=pairs, reduce=pairs), limits.SPLIT_SIZE_BYTES),
        (Job(map=pairs), limits.SPLIT_SIZE_BYTES),
    ],
)
def test_map_tasks_may_be_larger_where_pairs_are_combined(job: Job, split_bytes_max: int) -> None:
    around = Surroundings(memory_bytes=1, task_timeout_s=1.0, combined_split_bytes=2 * limits.SPLIT_SIZE_BYTES)
    code = Code(Path(), "job.py", "job")
    assert order_of(job, code, Options(), around, bundle=b"", inputs=(), output="").split_bytes_max == split_bytes_max
