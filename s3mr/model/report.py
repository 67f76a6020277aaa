"""Define the messages between coordinator and workers: the request of an attempt, and its report."""

import hashlib
import hmac
from typing import Annotated, Self

from pydantic import Field, model_validator

from s3mr import limits
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import SCHEMA_VERSION, Failure, JobId, JobSpec, Phase, SchemaVersion, TaskPhase, WorkerId
from s3mr.model.manifest import Manifest
from s3mr.model.plan import Pointer

Token = Annotated[str, Field(max_length=64)]  # of `attempt_token`


class TaskRequest(FrozenModel):
    """Everything that a worker needs for one attempt. It has pointers to data, never data."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    spec: JobSpec
    phase: TaskPhase
    task: int = Field(ge=0)
    attempt: int = Field(ge=1)
    token: str
    start_by: float  # seconds since the epoch; an attempt that starts later does nothing: it could outlive its lease
    plan: Pointer | None = None  # map only


class Report(FrozenModel):
    """The result of one execution of an attempt: a manifest or a failure.

    ``worker`` is None if the worker died before it could report.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    job_id: JobId
    phase: TaskPhase
    task: int = Field(ge=0, lt=limits.MAP_TASKS_MAX)
    attempt: int = Field(ge=1, le=limits.ATTEMPT_NUMBER_MAX)
    token: Token
    worker: WorkerId | None
    manifest: Manifest | None = None
    failure: Failure | None = None
    mark: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # of the worker function's own process

    @model_validator(mode="after")
    def _exactly_one_outcome(self) -> Self:
        if (self.manifest is None) == (self.failure is None):
            raise ValueError("a report must have either a manifest or a failure")
        return self

    def answers(self, request: TaskRequest) -> bool:
        """Return whether this is a report for ``request``."""
        asked = (request.spec.job_id, request.phase, request.task, request.attempt, request.token)
        return asked == (self.job_id, self.phase, self.task, self.attempt, self.token)

    def marked(self, key: str) -> Self:
        """Return this report with a mark that proves knowledge of ``key``: HMAC-SHA256 of all other fields, hex."""
        bare = self.model_copy(update={"mark": None}).model_dump_json().encode("utf-8", "surrogatepass")
        return self.model_copy(update={"mark": hmac.new(key.encode(), bare, hashlib.sha256).hexdigest()})

    def is_marked(self, key: str) -> bool:
        """Return whether this report has the mark of ``key``."""
        return self.mark is not None and hmac.compare_digest(self.mark, self.marked(key).mark or "")


def attempt_token(secret: str, *, phase: Phase, task: int, attempt: int) -> str:
    """Return the token that proves that a report comes from this attempt: HMAC-SHA256, hex."""
    message = f"{phase}|{task}|{attempt}".encode()
    return hmac.new(bytes.fromhex(secret), message, hashlib.sha256).hexdigest()
