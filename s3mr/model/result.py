"""Define the result of a job."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from s3mr.model.cost import Cost, Requests
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import JobId, JobState
from s3mr.model.statistics import Counters


class JobResult(FrozenModel):
    """The result of a job that succeeded: its output, counters and cost."""

    job_id: JobId
    output: str  # a folder or s3:// URI
    parts: int
    counters: Counters
    requests: Requests  # exact; on a stack, only those of its workers, because its coordinator does not count
    aws_cost: Cost  # estimate in US dollars for the same job on AWS, wherever this one ran
    input_objects: int
    skipped_objects: int  # their names begin with _ or .
    map_tasks: int
    reducers: int
    attempts: int
    retried: int  # attempts launched because an earlier one had failed
    duplicates_ignored: int
    elapsed_s: float

    @classmethod
    def of(cls, job: JobState, *, requests: Mapping[str, int] | None = None) -> Self:
        """Return the result of a job that succeeded. ``requests`` are those of its coordinator, if known."""
        counters = job.counters + Counters(requests=dict(requests or {}))
        return cls(
            job_id=job.spec.job_id,
            output=job.spec.output,
            parts=job.spec.tasks(job.spec.last_phase),
            counters=counters,
            requests=Requests.of(counters.requests),
            aws_cost=Cost.estimate(job, counters.requests, whole=requests is not None),
            input_objects=job.spec.input_objects,
            skipped_objects=job.spec.skipped_objects,
            map_tasks=job.spec.map_tasks,
            reducers=job.spec.reducers,
            attempts=job.attempts,
            retried=job.retried,
            duplicates_ignored=job.ignored,
            elapsed_s=(job.ended_at or job.created_at) - job.created_at,
        )

    def part_files(self) -> list[Path]:
        """Return the part files of an output folder, in order.

        Raises:
            ValueError: the output is in S3. Read it from there.
        """
        if self.output.startswith("s3://"):
            raise ValueError(f"the output is in S3, not in a folder: read it from {self.output}")
        return sorted(Path(self.output).glob("part-*"))

    def lines(self) -> Iterator[str]:
        """Yield the output's lines, ``key<TAB>value``, part by part. Invalid UTF-8 becomes surrogate escapes."""
        for path in self.part_files():
            with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as part:
                for line in part:
                    yield line.removesuffix("\n")
