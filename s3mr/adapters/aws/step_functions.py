"""Start and find the executions of the state machine that drives jobs.

A job's first execution is ``<job>-0``. When its history is full, ``<job>-1`` continues, and so on.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from s3mr.adapters.aws.aws_errors import code_of, translated
from s3mr.model.job import JobId

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


@dataclass(frozen=True, slots=True)
class StateMachineExecution:
    """One execution of the state machine for a job; ``tick`` is the function version that it calls."""

    number: int
    status: str  # RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE
    tick: str

    @property
    def running(self) -> bool:
        return self.status == "RUNNING"


class StateMachine:
    """Starts coordinators, and finds them."""

    def __init__(self, client: "SFNClient", arn: str) -> None:
        self._client = client
        self._arn = arn

    def start(self, job_id: JobId, *, tick: str, number: int = 0) -> None:
        """Start the job's execution with this number. Idempotent.

        Source: Step Functions API reference, StartExecution (idempotency).
        """
        document = {"job_id": job_id, "tick": tick, "number": number, "answer": {"round": 0}}
        with translated(f"starting the coordinator of job {job_id}"):
            try:
                self._client.start_execution(
                    stateMachineArn=self._arn, name=f"{job_id}-{number}", input=json.dumps(document)
                )
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":
                    raise

    def latest(self, job_id: JobId) -> StateMachineExecution | None:
        """Return the job's execution with the highest number; None if there was none.

        Numbers have no gaps, so a binary search finds it: for 300 executions, with at most 19 requests.
        """
        last = self._execution(job_id, 0)
        if last is None:
            return None
        beyond = 1  # doubled until there is no execution with this number; then the interval is halved
        while found := self._execution(job_id, beyond):
            last, beyond = found, 2 * beyond
        while beyond - last.number > 1:
            middle = (last.number + beyond) // 2
            if found := self._execution(job_id, middle):
                last = found
            else:
                beyond = middle
        return last

    def ensure(self, job_id: JobId, *, tick: str) -> bool:
        """Start a coordinator for the job if none is running. Return whether that was needed.

        It calls the function version of the execution before it, or ``tick`` if there was none.
        """
        last = self.latest(job_id)
        if last is not None and last.running:
            return False
        if last is None:
            self.start(job_id, tick=tick)
        else:
            self.start(job_id, tick=last.tick, number=last.number + 1)
        return True

    def _execution(self, job_id: JobId, number: int) -> StateMachineExecution | None:
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{job_id}-{number}"
        with translated(f"looking for the coordinator of job {job_id}"):
            try:
                found = self._client.describe_execution(executionArn=arn)
            except ClientError as error:
                if code_of(error) != "ExecutionDoesNotExist":
                    raise
                return None
        return StateMachineExecution(number, found["status"], json.loads(found["input"])["tick"])
