"""What user code can do with a worker's credentials, and what it cannot."""

import base64
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from s3mr.model.job import SCHEMA_VERSION
from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.constants import REGION
from tests.deployed.harness.person import Person
from tests.deployed.run import INPUTS, OUTPUTS

UNDECLARED = "undeclared"

# Each line is one thing that a worker tries. The set below has all that is allowed.
TRIES = """
    table-read: client("dynamodb").get_item(TableName=p.table, Key={"pk": {"S": "x"}, "sk": {"S": "x"}})
    table-query: client("dynamodb").query(TableName=p.table, KeyConditionExpression=p.of, ExpressionAttributeValues=p.x)
    table-scan: client("dynamodb").scan(TableName=p.table)
    table-put: client("dynamodb").put_item(TableName=p.table, Item={"pk": {"S": "x"}, "sk": {"S": "x"}})
    table-delete: client("dynamodb").delete_item(TableName=p.table, Key={"pk": {"S": "x"}, "sk": {"S": "x"}})
    table-list: client("dynamodb").list_tables()
    undeclared-get: client("s3").get_object(Bucket="undeclared", Key="secret")
    undeclared-put: client("s3").put_object(Bucket="undeclared", Key="part-00000", Body=b"")
    undeclared-list: client("s3").list_objects_v2(Bucket="undeclared")
    inputs-put: client("s3").put_object(Bucket=p.inputs, Key="x", Body=b"")
    inputs-delete: client("s3").delete_object(Bucket=p.inputs, Key="x")
    inputs-list: client("s3").list_objects_v2(Bucket=p.inputs)
    outputs-get: client("s3").get_object(Bucket=p.outputs, Key="x/part-00000")
    outputs-put-other-name: client("s3").put_object(Bucket=p.outputs, Key="x/index.html", Body=b"")
    outputs-put-part: client("s3").put_object(Bucket=p.outputs, Key="x/part-00000", Body=b"")
    outputs-complete: client("s3").complete_multipart_upload(Bucket=p.outputs, Key=p.part, UploadId="x")
    own-put-part: client("s3").put_object(Bucket=p.bucket, Key="output/x/part-00000", Body=b"")
    outputs-put-success: client("s3").put_object(Bucket=p.outputs, Key="x/_SUCCESS", Body=b"")
    outputs-upload-success: client("s3").create_multipart_upload(Bucket=p.outputs, Key="x/_SUCCESS")
    outputs-put-committing: client("s3").put_object(Bucket=p.outputs, Key="x/_COMMITTING", Body=b"")
    outputs-delete: client("s3").delete_object(Bucket=p.outputs, Key="x/part-00000")
    outputs-list: client("s3").list_objects_v2(Bucket=p.outputs)
    outputs-list-uploads: client("s3").list_multipart_uploads(Bucket=p.outputs)
    own-list: client("s3").list_objects_v2(Bucket=p.bucket)
    own-put-input: client("s3").put_object(Bucket=p.bucket, Key="input/x", Body=b"")
    own-put-success: client("s3").put_object(Bucket=p.bucket, Key="output/x/_SUCCESS", Body=b"")
    own-policy: client("s3").delete_bucket_policy(Bucket=p.bucket)
    plan-put: client("s3").put_object(Bucket=p.bucket, Key="plan/x/bundle.zip", Body=b"")
    plan-index-put: client("s3").put_object(Bucket=p.bucket, Key="plan/x/index/00000", Body=b"")
    plan-delete: client("s3").delete_object(Bucket=p.bucket, Key="plan/x/plan")
    intermediates-delete: client("s3").delete_object(Bucket=p.bucket, Key="jobs/x/map/worker-1-1")
    notes-delete: client("s3").delete_object(Bucket=p.bucket, Key="jobs/x/uploads/part-00000.1.1")
    notes-list: client("s3").list_objects_v2(Bucket=p.bucket, Prefix="jobs/x/uploads/")
    intermediates-elsewhere: client("s3").put_object(Bucket=p.bucket, Key="jobs/x/reduce", Body=b"")
    invoke-tick: client("lambda").invoke(FunctionName=p.stack + "-tick:live", Payload=b"{}")
    invoke-map: client("lambda").invoke(FunctionName=p.stack + "-map:live", InvocationType="Event", Payload=b"{}")
    invoke-reduce: client("lambda").invoke(FunctionName=p.stack + "-reduce:live", InvocationType="Event", Payload=b"{}")
    read-function: client("lambda").get_function(FunctionName=p.stack + "-tick")
    start-job: client("stepfunctions").start_execution(stateMachineArn=p.machine, input="{}")
    list-jobs: client("stepfunctions").list_executions(stateMachineArn=p.machine)
    read-dead-letters: client("sqs").receive_message(QueueUrl=p.letters)
    send-dead-letter: client("sqs").send_message(QueueUrl=p.letters, MessageBody="{}")
    read-logs: client("logs").filter_log_events(logGroupName=p.logs)
    forge-logs: client("logs").put_log_events(logGroupName=p.logs, logStreamName="x", logEvents=p.events)
    new-log-group: client("logs").create_log_group(logGroupName="mine")
    take-role: client("sts").assume_role(RoleArn=p.role, RoleSessionName="me")
    list-roles: client("iam").list_roles()
    read-stack: client("cloudformation").describe_stacks(StackName=p.stack)
    list-keys: client("kms").list_keys()
"""

CODE = f"""
    import json
    from types import SimpleNamespace
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    TRIES = {TRIES!r}
    ONCE = Config(retries={{"total_max_attempts": 1}})

    def client(service):
        return boto3.client(service, config=ONCE)

    def outcomes(by):
        p = SimpleNamespace(**json.loads(params["places"]))
        for line in filter(None, map(str.strip, TRIES.splitlines())):
            name, _, code = line.partition(": ")
            try:
                eval(code, {{"client": client, "p": p}})
                yield f"{{by}} {{name}}", "allowed"
            except ClientError as error:
                yield f"{{by}} {{name}}", error.response["Error"]["Code"]

    def tries(source, line):
        yield from outcomes("map")

    def more(key, values):
        yield key, *values
        if key == "map table-read":
            yield from outcomes("reduce")

    job = Job(map=tries, reduce=more)
"""


@pytest.fixture
def places(aws: Cloud, person: Person) -> str:
    s3 = person.s3
    if UNDECLARED not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=UNDECLARED, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket=UNDECLARED, Key="secret", Body=b"secret")
    outputs = person.stack.outputs
    roles = [role["Arn"] for role in aws.administrators("iam").list_roles()["Roles"]]
    named = {
        "stack": person.stack.name,
        "table": outputs["TableName"],
        "bucket": outputs["BucketName"],
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "machine": outputs["JobsArn"],
        "letters": person.stack.resource("DeadLetters"),
        "logs": f"/aws/lambda/{person.stack.name}-tick",
        "part": "x/part-00000",
        "of": "pk = :p",
        "x": {":p": {"S": "x"}},
        "events": [{"timestamp": 1, "message": "x"}],
        "role": next(arn for arn in roles if "TickRole" in arn),
    }
    return f"places={json.dumps(named)}"


def test_user_code_can_access_only_what_its_role_needs(person: Person, places: str) -> None:
    output = person.output()
    options = ("--reducers", "1", "--param", places)
    person.run("run", person.job(CODE), person.upload("x"), "--output", output, *options)
    outcomes = dict(line.split("\t") for line in person.lines(output))
    names = [line.partition(":")[0].strip() for line in TRIES.splitlines() if line.strip()]
    assert outcomes.keys() == {f"{phase} {name}" for phase in ("map", "reduce") for name in names}
    refused = {"AccessDenied", "AccessDeniedException"}
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in refused} == {}


USES = """
    import base64, json
    import boto3
    from botocore.exceptions import ClientError

    def outcomes(by):
        kms = boto3.client("kms")
        for key, secret in json.loads(params["keys"]).items():
            uses = {
                "decrypt": lambda: kms.decrypt(KeyId=key, CiphertextBlob=base64.b64decode(secret)),
                "generate": lambda: kms.generate_data_key(KeyId=key, KeySpec="AES_256"),
            }
            for name, use in uses.items():
                try:
                    use()
                    yield f"{by} {name} {key}", "allowed"
                except ClientError as error:
                    yield f"{by} {name} {key}", error.response["Error"]["Code"]

    def tries(source, line):
        yield "reduce", ""
        yield from outcomes("map")

    def more(key, values):
        yield from outcomes("reduce") if key == "reduce" else ((key, value) for value in values)

    job = Job(map=tries, reduce=more)
"""


def test_workers_can_use_kms_keys_only_through_s3(sealed: Person) -> None:
    """A worker reads and writes encrypted objects, but cannot decrypt anything else with the keys."""
    parameters, kms = sealed.stack.parameters, sealed.stack.cloud.administrators("kms")
    keys = [parameters["KmsKeyArn"], parameters["DataKmsKeyArns"]]
    secrets = {key: kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"] for key in keys}
    encoded = {key: base64.b64encode(secret).decode() for key, secret in secrets.items()}
    output = f"s3://{sealed.stack.outputs['BucketName']}/output/keys/"
    options = ("--reducers", "1", "--param", f"keys={json.dumps(encoded)}")
    sealed.run("run", sealed.job(USES), sealed.upload("x"), "--output", output, *options)
    tried = [f"{by} {use} {key}" for by in ("map", "reduce") for use in ("decrypt", "generate") for key in keys]
    assert sorted(sealed.lines(output)) == sorted(f"{one}\tAccessDeniedException" for one in tried)
    own = boto3.client(
        "kms",
        endpoint_url=sealed.credentials["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=sealed.credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=sealed.credentials["AWS_SECRET_ACCESS_KEY"],
    )
    for key, secret in secrets.items():
        with pytest.raises(ClientError, match="AccessDenied"):
            own.decrypt(KeyId=key, CiphertextBlob=secret)
        with pytest.raises(ClientError, match="AccessDenied"):
            own.generate_data_key(KeyId=key, KeySpec="AES_256")


def test_a_worker_cannot_find_out_if_an_object_exists(person: Person) -> None:
    """S3 hides the existence of a key from callers who cannot list the bucket."""
    aws = person.stack.cloud
    role = next(arn for arn in _roles(aws) if "s3mr-MapRole" in arn)
    s3 = aws.client(role, "lambda.amazonaws.com", "s3")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket=INPUTS, Key="never-uploaded")


FORGES = """
    import json, pathlib, time
    import boto3

    def forge(source, line):
        while not pathlib.Path(params["told"]).exists():
            time.sleep(0.05)
        if line == "a":
            report = {
                "schema_version": SCHEMA, "job_id": pathlib.Path(params["told"]).read_text(), "phase": "map", "task": 1,
                "attempt": 1, "token": "0" * 64, "worker": None,
                "failure": {"kind": "invariant", "message": "forged", "phase": "map", "task": 1, "attempt": 1},
            }
            event = {"requestContext": {"condition": "Success"}, "requestPayload": {}, "responsePayload": report}
            for payload in (event, {"nonsense": 1}):
                boto3.client("lambda").invoke(FunctionName=params["record"], Payload=json.dumps(payload))
        yield line, 1
    job = Job(map=forge)
""".replace("SCHEMA", str(SCHEMA_VERSION))


def test_a_forged_report_is_ignored_and_counted(aws: Cloud, person: Person, tmp_path: Path) -> None:
    output, told = person.output(), tmp_path / "told"
    options = ("--split-size", "1", "--param", f"record={person.stack.outputs['RecordArn']}", "--param", f"told={told}")
    job_id = person.submit(person.job(FORGES), person.upload("a", "b"), "--output", output, *options)
    told.with_suffix(".new").write_text(job_id)
    told.with_suffix(".new").rename(told)
    person.run("watch", job_id)
    assert person.lines(output) == ["a\t1", "b\t1"]
    executions = person.ask("history", job_id, "map/1")["executions"]
    assert sorted(one["verdict"] for one in executions) == ["forged", "won"]
    logged = " ".join(_messages(aws, "/aws/lambda/s3mr-record"))
    assert "ReportsForged" in logged
    assert "ReportsUnreadable" in logged


def test_requests_without_tls_are_refused(aws: Cloud, person: Person) -> None:
    bucket = person.stack.outputs["BucketName"]
    aws.gate.encrypted = False
    try:
        with pytest.raises(ClientError, match="AccessDenied"):
            person.s3.put_object(Bucket=bucket, Key="input/x", Body=b"x")
        with pytest.raises(ClientError, match="AccessDenied"):
            person.s3.list_objects_v2(Bucket=bucket)
    finally:
        aws.gate.encrypted = True
    person.s3.put_object(Bucket=bucket, Key="input/x", Body=b"x")


def _roles(aws: Cloud) -> list[str]:
    return [role["Arn"] for role in aws.administrators("iam").list_roles()["Roles"]]


def _messages(aws: Cloud, group: str) -> list[Any]:
    return [event["message"] for event in aws.administrators("logs").filter_log_events(logGroupName=group)["events"]]
