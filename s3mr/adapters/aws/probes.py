"""Test permissions and settings in AWS without changing anything. `doctor` uses these probes.

A probe is a request that needs the permission but can have no effect: a conditional write to an item that does not
exist, or an execution whose input is not JSON. AWS checks permissions first.
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

_UNUSED_NAME: Final = "doctor"  # no item, job or execution has this name
_NOT_JSON: Final = "{"


@dataclass(frozen=True, slots=True)
class InvokeSettings:
    """The settings for asynchronous invocations of a function version."""

    retries_max: int | None
    event_age_s_max: int | None
    on_success: str | None  # ARN of the destination
    on_failure: str | None


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many function executions an account may have at once in one region."""

    limit: int
    unreserved: int


def caller(client: "STSClient") -> str:
    """Return the ARN of the identity whose credentials are in use. This needs no permission."""
    with translated("looking up the identity of the credentials"):
        return client.get_caller_identity()["Arn"]


def check_state_machine(client: "SFNClient", arn: str) -> None:
    """Check that the state machine exists, and that its executions can be started and described.

    Raises:
        RequestError: it does not exist, or a permission is missing.
    """
    with translated(f"states:DescribeStateMachine on {arn}"):
        if client.describe_state_machine(stateMachineArn=arn)["status"] != "ACTIVE":
            raise RequestError(f"{arn} is being deleted")
    execution = f"{arn.replace(':stateMachine:', ':execution:')}:{_UNUSED_NAME}"
    with translated(f"states:DescribeExecution on {execution}"), _expecting("ExecutionDoesNotExist"):
        client.describe_execution(executionArn=execution)
    with translated(f"states:StartExecution on {arn}"), _expecting("InvalidExecutionInput"):
        client.start_execution(stateMachineArn=arn, name=_UNUSED_NAME, input=_NOT_JSON)


def invoke_settings(client: "LambdaClient", version: str) -> InvokeSettings:
    """Return the asynchronous settings of a function version, given by its ARN. All are None if it has none."""
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
    """Return the account's quota in this region, and how much of it is not reserved for single functions."""
    with translated("lambda:GetAccountSettings"):
        found = client.get_account_settings()["AccountLimit"]
    return Concurrency(found["ConcurrentExecutions"], found["UnreservedConcurrentExecutions"])


def check_table(client: "DynamoDBClient", table: str) -> None:
    """Check that the table's items can be read, written and deleted, without doing so.

    Raises:
        RequestError: there is no such table, or a permission is missing; the message names it.
    """
    unused: dict[str, AttributeValueTypeDef] = {"pk": {"S": _UNUSED_NAME}, "sk": {"S": _UNUSED_NAME}}
    never = "attribute_exists(pk)"
    probes: dict[str, Callable[[], object]] = {
        "GetItem": lambda: client.get_item(TableName=table, Key=unused),
        "Query": lambda: client.query(
            TableName=table,
            KeyConditionExpression="pk = :nobody",
            ExpressionAttributeValues={":nobody": {"S": _UNUSED_NAME}},
        ),
        "BatchGetItem": lambda: client.batch_get_item(RequestItems={table: {"Keys": [unused]}}),
        "PutItem": lambda: client.put_item(TableName=table, Item=unused, ConditionExpression=never),
        "DeleteItem": lambda: client.delete_item(TableName=table, Key=unused, ConditionExpression=never),
        "BatchWriteItem": lambda: client.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": unused}}]}),
    }
    for action, probe in probes.items():
        with translated(f"dynamodb:{action} on {table}"), _expecting("ConditionalCheckFailedException"):
            probe()


@contextmanager
def _expecting(code: str) -> Iterator[None]:
    """Suppress the expected error: it proves the permission."""
    try:
        yield
    except ClientError as error:
        if code_of(error) != code:
            raise
