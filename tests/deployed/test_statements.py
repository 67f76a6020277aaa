"""Every permission in the template is used by a test. This test checks all others, so it runs last.

Which test uses what: jobs (`test_jobs`) most; the Deny of `_SUCCESS` and of plain transport, `test_rights`; dead
letters, releases and continued executions, `test_coordinators`; withdrawn parts, `test_commits`; cancel, resume and
clean, `test_lives`; permissions of people, `test_people`; the key, `test_stacks`. Remove an unused permission from the
template.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployed.conftest import ROOT_OUTPUT, VAULT
from tests.deployed.harness.access import statements_of
from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.policies import Right, Statement, read
from tests.deployed.harness.resources import BUCKET_POLICIES, QUEUE_POLICIES
from tests.deployed.harness.stack import Stack
from tests.deployed.run import INPUTS, OUTPUTS

Place = tuple[str, str, str, str]  # owner, statement, action, and kind of resource


def test_every_permission_of_every_role_is_used_by_a_test(
    aws: Cloud, stack: Stack, encrypted: Stack, request: pytest.FixtureRequest
) -> None:
    if not _all_tests_are_run(request):
        pytest.skip("it checks all tests of this folder: run the whole folder")
    ever_used = set().union(*aws.access.used.values())
    given, used = set(), set()
    for one in (stack, encrypted):
        for place, right in _rights(one):
            given.add(place)
            if right in ever_used:
                used.add(place)
    unused = [" | ".join(place) for place in sorted(given - used)]
    assert not unused, "\n".join(["no test has seen used:", *unused])


def _rights(stack: Stack) -> Iterator[tuple[Place, Right]]:
    bucket = stack.resource("Bucket")
    for owner, statement in _statements(stack):
        for right in statement.rights():
            yield (owner, statement.name, right.action, _kind(right.resource, bucket)), right


def _kind(resource: str, bucket: str) -> str:
    """Return a resource without the parts that differ between stacks, and between buckets that are declared alike."""
    for name, kind in (
        (bucket, "{own}"),
        *((one, "{outputs}") for one in (OUTPUTS, ROOT_OUTPUT, VAULT)),
        (INPUTS, "{inputs}"),
    ):
        resource = resource.replace(f":::{name}", f":::{kind}")
    unqualified = resource.removesuffix(":*") if ":function:" in resource else resource
    return re.sub(r"(s3mr|sealed)-([A-Za-z]+)(-[A-Z0-9]{12})?", r"{stack}-\2", unqualified)


def _statements(stack: Stack) -> Iterator[tuple[str, Statement]]:
    """Return the statements of a stack, by the logical IDs of their owners."""
    for logical_id, resource in stack.template["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            arn = f"arn:aws:iam::123456789012:role/{stack.resource(logical_id)}"
            yield from ((logical_id, statement) for statement in statements_of(arn))
        elif resource["Type"] == "AWS::IAM::ManagedPolicy":
            yield from ((logical_id, statement) for statement in _managed(stack, logical_id))
        elif resource["Type"] == "AWS::S3::BucketPolicy":
            document = BUCKET_POLICIES[stack.resource("Bucket")]
            yield from ((logical_id, statement) for statement in read("resource policy", document))
        elif resource["Type"] == "AWS::SQS::QueuePolicy":
            document = QUEUE_POLICIES[stack.resource("DeadLetters")]
            yield from ((logical_id, statement) for statement in read("resource policy", document))


def _managed(stack: Stack, logical_id: str) -> tuple[Statement, ...]:
    iam = stack.cloud.administrators("iam")
    arn = stack.resource(logical_id)
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return read(arn.rpartition("/")[2], json.dumps(document))


def _all_tests_are_run(request: pytest.FixtureRequest) -> bool:
    here = set(Path(__file__).parent.glob("test_*.py"))
    chosen = request.config.getoption("keyword") or any("::" in argument for argument in request.config.args)
    return not chosen and here <= {item.path for item in request.session.items}
