"""Start workers in AWS Lambda: an attempt is an asynchronous invocation of the function version pinned by its job."""

from typing import TYPE_CHECKING

from s3mr.adapters.aws.aws_errors import translated
from s3mr.errors import InvariantError
from s3mr.model.job import Phase
from s3mr.model.report import TaskRequest

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class LambdaInvoker:
    """Sends attempts to Lambda, which queues them and delivers each at least once."""

    def __init__(self, client: "LambdaClient") -> None:
        self._client = client

    def invoke(self, request: TaskRequest) -> None:
        functions = request.spec.functions
        if functions is None:
            raise InvariantError(f"job {request.spec.job_id} names no functions: it was not submitted to a stack")
        arn = functions.map if request.phase is Phase.MAP else functions.reduce
        with translated(f"invoking {arn}"):
            self._client.invoke(
                FunctionName=arn, InvocationType="Event", Payload=request.model_dump_json().encode("utf-8")
            )
