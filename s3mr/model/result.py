"""What a job came to."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from s3mr.model.cost import Cost, Requests
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import JobId, JobState
from s3mr.model.statistics import Counters


class JobResult(FrozenModel):
    """A job that succeeded: where its output is, and what was done for it."""

    job_id: JobId
    output: str  # a folder or s3:// URI
    parts: int
    counters: Counters
    requests: Requests  # counted; of a stack, those of its workers alone: its coordinator keeps no count
    aws_cost: Cost  # estimated, in US dollars: what the same job costs on AWS, wherever this one ran
    input_objects: int
    skipped_objects: int  # hidden by a name that begins with _ or .
    map_tasks: int
    reducers: int
    attempts: int
    retried: int  # attempts begun because an earlier one had failed
    duplicates_ignored: int
    elapsed_s: float

    @classmethod
    def of(cls, job: JobState, *, requests: Mapping[str, int] | None = None) -> Self:
        """Return what a job that has succeeded came to; ``requests``: those that its coordinator sent, if known."""
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
        """The parts of an output folder, in order.

        Raises:
            ValueError: the output is in S3; read it from there.
        """
        if self.output.startswith("s3://"):
            raise ValueError(f"the output is in S3, not in a folder: {self.output}")
        return sorted(Path(self.output).glob("part-*"))

    def lines(self) -> Iterator[str]:
        """Yield the output's lines, ``key<TAB>value``, part by part; bytes that are no UTF-8 as surrogate escapes."""
        for path in self.part_files():
            with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as part:
                for line in part:
                    yield line.removesuffix("\n")
