"""Questions whose answers show that something could be done, without doing it: what `doctor` asks of AWS.

A right is proven by a request that would need it and that can have no effect: a conditional write to an item that does
not exist, an execution whose input is no JSON. AWS looks at rights first.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from s3mr.adapters.aws.aws_errors import code_of, translated
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_sts import STSClient

_NOBODY: Final = "doctor"  # no item, job or execution is called so
_NO_JSON: Final = "{"


@dataclass(frozen=True, slots=True)
class InvokeSettings:
    """How a function's version is invoked asynchronously."""

    retries_max: int | None
    event_age_s_max: int | None
    on_success: str | None  # ARN of the destination
    on_failure: str | None


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many executions of functions an account and region may have at once."""

    limit: int
    unreserved: int


def caller(client: "STSClient") -> str:
    """Return the ARN of the identity whose credentials are in use; this needs no right."""
    with translated("asking whose credentials these are"):
        return client.get_caller_identity()["Arn"]


def check_state_machine(client: "SFNClient", arn: str) -> None:
    """See that the state machine is there, and that executions of it may be started and looked at.

    Raises:
        RequestError: it is not, or they may not.
    """
    with translated(f"states:DescribeStateMachine on {arn}"):
        if client.describe_state_machine(stateMachineArn=arn)["status"] != "ACTIVE":
            raise RequestError(f"{arn} is being deleted")
    execution = f"{arn.replace(':stateMachine:', ':execution:')}:{_NOBODY}"
    with translated(f"states:DescribeExecution on {execution}"), _hoping_for("ExecutionDoesNotExist"):
        client.describe_execution(executionArn=execution)
    with translated(f"states:StartExecution on {arn}"), _hoping_for("InvalidExecutionInput"):
        client.start_execution(stateMachineArn=arn, name=_NOBODY, input=_NO_JSON)


def invoke_settings(client: "LambdaClient", version: str) -> InvokeSettings:
    """Return the asynchronous settings of a function's version, given as its ARN; of none, where it has none."""
    function, _, qualifier = version.rpartition(":")
    with translated(f"lambda:GetFunctionEventInvokeConfig on {version}"):
        try:
            found = client.get_function_event_invoke_config(FunctionName=function, Qualifier=qualifier)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return InvokeSettings(None, None, None, None)
    sent = found.get("DestinationConfig", {})
    return InvokeSettings(
        retries_max=found.get("MaximumRetryAttempts"),
        event_age_s_max=found.get("MaximumEventAgeInSeconds"),
        on_success=sent.get("OnSuccess", {}).get("Destination"),
        on_failure=sent.get("OnFailure", {}).get("Destination"),
    )


def concurrency(client: "LambdaClient") -> Concurrency:
    """Return the account's quota in this region, and what of it is not reserved for single functions."""
    with translated("lambda:GetAccountSettings"):
        found = client.get_account_settings()["AccountLimit"]
    return Concurrency(found["ConcurrentExecutions"], found["UnreservedConcurrentExecutions"])


def check_table(client: "DynamoDBClient", table: str) -> None:
    """See that the table's items may be read, written and deleted. Nothing is.

    Raises:
        RequestError: there is no such table, or they may not; the text names the right.
    """
    nothing: dict[str, AttributeValueTypeDef] = {"pk": {"S": _NOBODY}, "sk": {"S": _NOBODY}}
    never = "attribute_exists(pk)"
    asked: dict[str, Callable[[], object]] = {
        "GetItem": lambda: client.get_item(TableName=table, Key=nothing),
        "Query": lambda: client.query(
            TableName=table,
            KeyConditionExpression="pk = :nobody",
            ExpressionAttributeValues={":nobody": {"S": _NOBODY}},
        ),
        "BatchGetItem": lambda: client.batch_get_item(RequestItems={table: {"Keys": [nothing]}}),
        "PutItem": lambda: client.put_item(TableName=table, Item=nothing, ConditionExpression=never),
        "DeleteItem": lambda: client.delete_item(TableName=table, Key=nothing, ConditionExpression=never),
        "BatchWriteItem": lambda: client.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": nothing}}]}),
    }
    for action, ask in asked.items():
        with translated(f"dynamodb:{action} on {table}"), _hoping_for("ConditionalCheckFailedException"):
            ask()


@contextmanager
def _hoping_for(code: str) -> Iterator[None]:
    """The error of this code is the answer that was hoped for."""
    try:
        yield
    except ClientError as error:
        if code_of(error) != code:
            raise
