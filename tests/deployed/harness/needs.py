"""Which permissions a request needs: actions on resources, service by service.

Source: the Service Authorization Reference. An operation that is not listed here needs its own action on ``*``, which
only a policy for everything allows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.deployed.harness.calls import AwsCall
from tests.deployed.harness.constants import ACCOUNT, PARTITION, REGION
from tests.deployed.harness.policies import Context
from tests.deployed.harness.s3_needs import s3_needs

IAM_NAMES = {"monitoring": "cloudwatch"}


@dataclass(frozen=True)
class Need:
    """One action on one resource, with the context for conditions."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


def needs_of(call: AwsCall) -> tuple[Need, ...]:
    """Return all permissions that the caller must have."""
    finder = _FINDERS.get(call.service)
    return tuple(finder(call)) if finder else (_plain(call, "*"),)


def arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    """Return the ARN of a resource in this account."""
    return f"arn:{PARTITION}:{service}:{region}:{account}:{resource}"


def _plain(call: AwsCall, resource: str, **context: tuple[str, ...]) -> Need:
    return Need(f"{IAM_NAMES.get(call.service, call.service)}:{call.operation}", resource, context)


def _s3(call: AwsCall) -> Iterator[Need]:
    for action, bucket, key, context in s3_needs(call):
        yield Need(action, f"arn:{PARTITION}:s3:::{bucket}" + (f"/{key}" if key is not None else ""), context)


def _table(name: str) -> str:
    return name if name.startswith("arn:") else arn("dynamodb", f"table/{name}")


def _dynamodb(call: AwsCall) -> Iterator[Need]:
    given = call.parameters
    if call.operation == "TransactWriteItems":
        for item in given["TransactItems"]:
            for verb, what in item.items():
                yield Need(f"dynamodb:{verb}{'' if verb == 'ConditionCheck' else 'Item'}", _table(what["TableName"]))
    elif "RequestItems" in given:
        for table, requests in given["RequestItems"].items():
            yield _plain(call, _table(table), **{"dynamodb:leadingkeys": tuple(_batch_keys(requests))})
    elif "TableName" in given:
        yield _plain(call, _table(given["TableName"]), **{"dynamodb:leadingkeys": tuple(_leading_keys(given))})
    else:
        yield _plain(call, "*")


def _batch_keys(requests: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Iterator[str]:
    if isinstance(requests, Mapping):
        yield from (key["pk"]["S"] for key in requests["Keys"] if "pk" in key)
        return
    for request in requests:
        item = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
        if "pk" in item:
            yield item["pk"]["S"]


def _leading_keys(given: Mapping[str, Any]) -> Iterator[str]:
    item = given.get("Key") or given.get("Item") or {}
    if "pk" in item:
        yield item["pk"]["S"]
    condition = given.get("KeyConditionExpression", "").replace("(", " ").replace(")", " ").split()
    names = given.get("ExpressionAttributeNames", {})
    for name, equals, value in zip(condition, condition[1:], condition[2:], strict=False):
        if equals == "=" and names.get(name, name) == "pk":
            yield given["ExpressionAttributeValues"][value]["S"]


def _states(call: AwsCall) -> Iterator[Need]:
    named = call.parameters.get("stateMachineArn") or call.parameters.get("executionArn")
    yield _plain(call, named or "*")


def _logs(call: AwsCall) -> Iterator[Need]:
    group = call.parameters.get("logGroupName") or call.parameters.get("logGroupIdentifier", "")
    group = group.split(":log-group:")[-1].removesuffix(":*")
    stream = call.parameters.get("logStreamName", "") if call.operation != "CreateLogStream" else ""
    yield _plain(call, arn("logs", f"log-group:{group}:log-stream:{stream}"))


def _sqs(call: AwsCall) -> Iterator[Need]:
    url = call.parameters.get("QueueUrl", "")
    yield _plain(call, arn("sqs", url.rpartition("/")[2]) if url else "*")


def _events(call: AwsCall) -> Iterator[Need]:
    rule = call.parameters.get("Rule") or call.parameters.get("Name")
    yield _plain(call, arn("events", f"rule/{rule}") if rule else "*")


def _kms(call: AwsCall) -> Iterator[Need]:
    key = call.parameters.get("KeyId", "*")
    yield _plain(call, key if key.startswith(("arn:", "*")) else arn("kms", f"key/{key}"))


def _cloudformation(call: AwsCall) -> Iterator[Need]:
    from moto.cloudformation.models import cloudformation_backends

    name = str(call.parameters.get("StackName", ""))
    stacks = cloudformation_backends[ACCOUNT][REGION].stacks.values()
    known = next((stack.stack_id for stack in stacks if name in (stack.name, stack.stack_id)), None)
    yield _plain(call, known or (arn("cloudformation", f"stack/{name}/") if name else "*"))


def _iam(call: AwsCall) -> Iterator[Need]:
    given = call.parameters
    source = given.get("PolicySourceArn") or given.get("PolicyArn")
    if call.operation == "GetUser" and "UserName" not in given:
        source = arn("iam", "user/*", region="")
    named = [f"{kind.lower()}/{given[f'{kind}Name']}" for kind in ("Role", "User") if f"{kind}Name" in given]
    yield _plain(call, source or (arn("iam", named[0], region="") if named else "*"))


def _sts(call: AwsCall) -> Iterator[Need]:
    if call.operation != "GetCallerIdentity":  # always allowed
        yield _plain(call, call.parameters.get("RoleArn", "*"))


_FINDERS: dict[str, Callable[[AwsCall], Iterable[Need]]] = {
    "s3": _s3,
    "dynamodb": _dynamodb,
    "states": _states,
    "logs": _logs,
    "sqs": _sqs,
    "events": _events,
    "kms": _kms,
    "cloudformation": _cloudformation,
    "iam": _iam,
    "sts": _sts,
}
