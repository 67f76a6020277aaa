"""Describe a deployed stack, with the values of its outputs."""

from pydantic import Field

from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import WorkerFunctions


class StackDescription(FrozenModel):
    """The resources of a stack, and the buckets that its workers may use. ARNs of functions are published versions."""

    name: str
    schema_version: int
    version: str  # of s3mr
    bucket: str
    table: str
    state_machine: str  # ARN
    tick: str
    functions: WorkerFunctions
    input_buckets: frozenset[str]  # in addition to ``input/`` in `bucket`
    output_buckets: frozenset[str]  # in addition to ``output/`` in `bucket`
    runtime: str  # of the functions: "python3.11"
    architecture: str  # "arm64" or "x86_64"
    memory_mb: int = Field(gt=0)  # of a worker
    timeout_s: int = Field(gt=0)  # of a worker
    workers_max: int = Field(gt=0)  # attempts at once
    map_reserved: int | None = Field(default=None, ge=0)  # reserved concurrency, which is also the maximum
    reduce_reserved: int | None = Field(default=None, ge=0)

    @property
    def account(self) -> str:
        """The AWS account of the stack."""
        return self.state_machine.split(":")[4]
