"""What people can do with the permissions of SubmitPolicy, and what they cannot."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.constants import ROOT
from tests.deployed.harness.person import Person
from tests.deployed.run import OUTPUTS

WORDCOUNT = ROOT / "examples" / "wordcount.py"


def test_doctor_reports_no_problems(person: Person) -> None:
    person.run("doctor", "--input", person.upload("a"), "--output", person.output())
    person.run("doctor", "--json")


def test_submitters_can_upload_inputs_to_the_stacks_bucket_and_read_all_logs(person: Person) -> None:
    bucket, key = person.stack.outputs["BucketName"], "input/mine/a.txt"
    _own(person, "s3").put_object(Bucket=bucket, Key=key, Body=b"a b a")
    output = person.output()
    result = person.ask("run", WORDCOUNT, f"s3://{bucket}/input/mine/", "--output", output)
    assert sorted(person.lines(output)) == ["a\t2", "b\t1"]
    logged = person.run("logs", result["job_id"], "--all", "--json").stdout.splitlines()
    assert {json.loads(line)["function_name"] for line in logged} == {
        f"s3mr-{one}" for one in ("tick", "record", "map", "reduce")
    }


def test_a_job_whose_coordinator_cannot_start_holds_nothing(aws: Cloud, person: Person) -> None:
    deny = {"Effect": "Deny", "Action": "states:StartExecution", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    iam, output = aws.administrators("iam"), person.output()
    iam.put_user_policy(UserName="submitter", PolicyName="denied", PolicyDocument=policy)
    try:
        refused = person.run("run", WORDCOUNT, person.upload("a"), "--output", output, expect=2)
    finally:
        iam.delete_user_policy(UserName="submitter", PolicyName="denied")
    assert "starting the coordinator" in refused.stderr
    person.run("run", WORDCOUNT, person.upload("a"), "--output", output)  # the output is free


def test_a_deadline_later_than_the_output_buckets_rule_for_open_uploads_is_refused(person: Person) -> None:
    abort = {"ID": "brief", "Status": "Enabled", "Filter": {"Prefix": ""}}
    rule = {**abort, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    person.s3.put_bucket_lifecycle_configuration(Bucket=OUTPUTS, LifecycleConfiguration={"Rules": [rule]})
    try:
        asked = ("submit", WORDCOUNT, person.upload("a"), "--output", person.output(), "--deadline", "2d")
        assert "at most 1d" in person.run(*asked, expect=2).stderr
    finally:
        person.s3.delete_bucket_lifecycle(Bucket=OUTPUTS)


@pytest.mark.parametrize(
    ("service", "operation", "asked"),
    [
        ("lambda", "invoke", {"FunctionName": "s3mr-tick:live", "Payload": b"{}"}),
        ("s3", "put_object", {"Bucket": OUTPUTS, "Key": "x/part-00000", "Body": b""}),
        ("s3", "get_object", {"Bucket": OUTPUTS, "Key": "x/part-00000"}),
        ("dynamodb", "delete_table", {"TableName": "{table}"}),
        ("dynamodb", "scan", {"TableName": "{table}"}),
        ("cloudformation", "delete_stack", {"StackName": "s3mr"}),
        ("stepfunctions", "delete_state_machine", {"stateMachineArn": "{machine}"}),
    ],
)
def test_submitters_cannot_do_directly_what_the_stack_does_for_them(
    person: Person, service: str, operation: str, asked: dict[str, Any]
) -> None:
    named = {"{table}": person.stack.outputs["TableName"], "{machine}": person.stack.outputs["JobsArn"]}
    given = {name: named.get(value, value) if isinstance(value, str) else value for name, value in asked.items()}
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(_own(person, service), operation)(**given)


def _own(person: Person, service: str) -> Any:
    """Return a client with the person's own permissions."""
    session: Any = boto3.Session()
    return session.client(
        service,
        endpoint_url=person.credentials["AWS_ENDPOINT_URL"],
        region_name=person.credentials["AWS_REGION"],
        aws_access_key_id=person.credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=person.credentials["AWS_SECRET_ACCESS_KEY"],
    )
