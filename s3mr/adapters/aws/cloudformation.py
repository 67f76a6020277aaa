"""Describe a deployed stack from its CloudFormation outputs and the function versions that are currently live."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError
from pydantic import ValidationError

from s3mr.adapters.aws.aws_errors import code_of, is_denied, translated
from s3mr.errors import RequestError
from s3mr.model.job import SCHEMA_VERSION, WorkerFunctions
from s3mr.model.stack import StackDescription

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_lambda import LambdaClient

DEPLOY: Final = "sam build && sam deploy"
_NOTHING: Final = "-"  # because an output cannot be empty
_NO_CONCURRENCY: Final = "-1"  # no concurrency is reserved
_ALIAS: Final = "live"
_USABLE: Final = {  # the last deployment is complete
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
}
_UPDATE: Final = "UPDATE_"  # prefix of the statuses of a stack that was complete before: running jobs can go on
_CREATING: Final = "is still being created ({status}): wait until sam deploy has ended"
_CHANGING: Final = "is being deployed ({status}): submit again when that has ended"
_DELETE: Final = f"sam delete --stack-name {{name}}, and deploy it again, {DEPLOY}"
_UNUSABLE: Final = {
    "CREATE_IN_PROGRESS": _CREATING,
    "IMPORT_IN_PROGRESS": _CREATING,
    "REVIEW_IN_PROGRESS": _CREATING,
    "UPDATE_IN_PROGRESS": _CHANGING,
    "UPDATE_ROLLBACK_IN_PROGRESS": _CHANGING,
    "UPDATE_ROLLBACK_FAILED": (
        "could not be rolled back to its state before the last deploy ({status}): "
        f"aws cloudformation continue-update-rollback --stack-name {{name}}, and then deploy it again, {DEPLOY}"
    ),
    "ROLLBACK_IN_PROGRESS": f"could not be created ({{status}}): wait until it is rolled back, then {_DELETE}",
    "ROLLBACK_COMPLETE": f"could not be created ({{status}}), and must be deleted first: {_DELETE}",
    "ROLLBACK_FAILED": f"could not be created ({{status}}), and must be deleted first: {_DELETE}",
    "DELETE_IN_PROGRESS": f"is being deleted ({{status}}): when that has ended, deploy it again, {DEPLOY}",
    "DELETE_COMPLETE": f"is deleted ({{status}}): deploy it again, {DEPLOY}",
    "DELETE_FAILED": (
        "could not be deleted completely ({status}), usually because its bucket is not empty: empty the bucket with "
        "aws s3 rm --recursive, then repeat sam delete --stack-name {name}"
    ),
}
_INCOMPLETE: Final = "is not complete ({status}): look at its events in CloudFormation, repair it, and deploy it again"


def describe_stack(
    cloudformation: "CloudFormationClient", functions: "LambdaClient", name: str, *, to_submit: bool = False
) -> StackDescription:
    """Return the description of the stack ``name``. With ``to_submit``, it must not be in the middle of a deployment.

    Raises:
        RequestError: there is no such stack, it is not a stack of s3mr, is not complete, or has another schema version.
    """
    found = _find(cloudformation, name)
    name = found["StackName"]  # the argument may be an ARN
    _check_status(name, found["StackStatus"], to_submit=to_submit)
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}
    _check_schema(name, outputs)
    try:
        return StackDescription(
            name=name,
            schema_version=int(outputs["SchemaVersion"]),
            version=outputs["S3mrVersion"],
            bucket=outputs["BucketName"],
            table=outputs["TableName"],
            state_machine=outputs["JobsArn"],
            tick=_live(functions, outputs["TickArn"]),
            functions=WorkerFunctions(
                map=_live(functions, outputs["MapArn"]), reduce=_live(functions, outputs["ReduceArn"])
            ),
            input_buckets=_names(outputs["InputBucketNames"]),
            output_buckets=_names(outputs["OutputBucketNames"]),
            runtime=outputs["FunctionRuntime"],
            architecture=outputs["FunctionArchitecture"],
            memory_mb=int(outputs["WorkerMemoryMb"]),
            timeout_s=int(outputs["WorkerTimeoutS"]),
            workers_max=int(outputs["AttemptsMax"]),
            map_reserved=_reserved(outputs["MapReserved"]),
            reduce_reserved=_reserved(outputs["ReduceReserved"]),
        )
    except KeyError as error:
        raise _unreadable(name, f"{error} is missing") from error
    except ValidationError as error:
        raise _unreadable(name, f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from error
    except ValueError as error:
        raise _unreadable(name, str(error)) from error


def _unreadable(name: str, why: str) -> RequestError:
    return RequestError(f"stack {name} has outputs that cannot be read ({why}): deploy it again, {DEPLOY}")


def _find(client: "CloudFormationClient", name: str) -> "StackTypeDef":
    region = client.meta.region_name
    with translated(f"looking for stack {name} in {region}"):
        try:
            return client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if is_denied(error):
                raise RequestError(
                    f"these credentials have no access to stack {name} in {region}: check --stack, AWS_REGION and "
                    "AWS_PROFILE; to submit jobs, you need the policy in the stack's output SubmitPolicyArn"
                ) from error
            if code_of(error) != "ValidationError":
                raise
            raise RequestError(
                f"there is no stack {name} in {region} for these credentials: check --stack, AWS_REGION and "
                f"AWS_PROFILE, or deploy it: {DEPLOY}"
            ) from error


def _check_status(name: str, status: str, *, to_submit: bool) -> None:
    if status in _USABLE or (status.startswith(_UPDATE) and not to_submit):
        return
    raise RequestError(f"stack {name} {_UNUSABLE.get(status, _INCOMPLETE).format(name=name, status=status)}")


def _check_schema(name: str, outputs: Mapping[str, str]) -> None:
    theirs = outputs.get("SchemaVersion", "")
    if not theirs.isdigit():
        raise RequestError(f"stack {name} was not deployed from s3mr's template: check --stack")
    if int(theirs) == SCHEMA_VERSION:
        return
    version = outputs.get("S3mrVersion", "?")
    newer = int(theirs) > SCHEMA_VERSION
    advice = f"install s3mr {version} here" if newer else f"update the stack from this version's checkout, {DEPLOY}"
    raise RequestError(
        f"stack {name} is of s3mr {version} (schema {theirs}), but this command has schema {SCHEMA_VERSION}: {advice}"
    )


def _live(client: "LambdaClient", alias: str) -> str:
    """Return the ARN of the version that an alias's ARN, ``…:function:NAME:live``, currently points to."""
    function, _, qualifier = alias.rpartition(":")
    if qualifier != _ALIAS:
        raise ValueError(f"{alias} does not end in :{_ALIAS}")
    with translated(f"reading {alias}"):
        version = client.get_alias(FunctionName=function, Name=_ALIAS)["FunctionVersion"]
    return f"{function}:{version}"


def _reserved(output: str) -> int | None:
    return None if output == _NO_CONCURRENCY else int(output)


def _names(output: str) -> frozenset[str]:
    return frozenset() if output == _NOTHING else frozenset(name.strip() for name in output.split(","))
