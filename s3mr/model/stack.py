"""A deployed stack, as its outputs describe it."""

from pydantic import Field

from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import WorkerFunctions


class StackDescription(FrozenModel):
    """Where a stack's parts are, and what its workers may touch. ARNs of functions are those of published versions."""

    name: str
    schema_version: int
    version: str  # of s3mr
    bucket: str
    table: str
    state_machine: str  # ARN
    tick: str
    functions: WorkerFunctions
    input_buckets: frozenset[str]  # besides `bucket` below ``input/``
    output_buckets: frozenset[str]  # besides `bucket` below ``output/``
    runtime: str  # of the functions: "python3.11"
    architecture: str  # "arm64" or "x86_64"
    memory_mb: int = Field(gt=0)  # of a worker
    timeout_s: int = Field(gt=0)  # of a worker
    workers_max: int = Field(gt=0)  # attempts at once
    map_reserved: int | None = Field(default=None, ge=0)  # concurrency, and its limit
    reduce_reserved: int | None = Field(default=None, ge=0)

    @property
    def account(self) -> str:
        """The AWS account in which the stack is."""
        return self.state_machine.split(":")[4]
