"""The harness keeps Lambda's promises: tested with handlers of a few lines and AWS's own runtime client."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.constants import ACCOUNT, ARCHITECTURE, REGION, RUNTIME
from tests.deployed.harness.functions import LATEST, Function, InvokeConfig, Version
from tests.deployed.harness.lambda_resources import FUNCTIONS
from tests.deployed.harness.lambda_service import Delivery, LambdaService
from tests.deployed.harness.waiting import until

TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
SETTLE_S = 30.0
STOPPED = "T"
GONE = ("", "Z")  # the process does not exist, or is dead but not reaped yet

CodeOf = Callable[..., Function]


@pytest.fixture(scope="module")
def role(aws: Cloud) -> str:
    """A role that may invoke `destination`, and use one queue."""
    iam = aws.administrators("iam")
    made = iam.create_role(RoleName="harness", AssumeRolePolicyDocument=_policy(TRUST))["Role"]["Arn"]
    allow = [
        {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:destination*",
        },
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"},
        {"Effect": "Allow", "Action": "logs:*", "Resource": "*"},
    ]
    iam.put_role_policy(RoleName="harness", PolicyName="some", PolicyDocument=_policy(*allow))
    return str(made)


@pytest.fixture
def function(role: str, tmp_path: Path) -> Iterator[CodeOf]:
    """Make a function of some code."""
    made: list[str] = []

    def make(name: str, code: str, *, timeout_s: int = 5, memory_mb: int = 512, **config: Any) -> Function:
        package = tmp_path / name
        package.mkdir()
        (package / "code_of.py").write_text(dedent(code))
        version = Version(
            name,
            LATEST,
            "code_of.handler",
            RUNTIME,
            ARCHITECTURE,
            role,
            memory_mb,
            timeout_s,
            package,
            "00",
            {},
            "/none",
        )
        function = Function(name, version, invoke_configs={LATEST: InvokeConfig(**config)})
        FUNCTIONS.add(function)
        made.append(name)
        return function

    yield make
    for name in made:
        FUNCTIONS.remove(name)


@pytest.fixture
def destination(function: CodeOf, tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """A function that stores the records that it gets. Call the fixture to read them."""
    kept = tmp_path / "records"
    kept.touch()
    function(
        "destination",
        f"import json\ndef handler(event, context):\n    open({str(kept)!r}, 'a').write(json.dumps(event) + '\\n')",
    )
    return lambda: [json.loads(line) for line in kept.read_text().splitlines()]


DESTINATION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:destination:$LATEST"


@pytest.fixture
def service(aws: Cloud) -> Iterator[LambdaService]:
    yield aws.service
    aws.service.delivery = Delivery()


def _policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def state_of(pid: int) -> str:
    """Return Linux's letter for the state of a process; empty if it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def invoke(aws: Cloud, name: str, event: object = None) -> tuple[Any, str | None]:
    answer = aws.administrators("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return json.loads(answer["Payload"].read()), answer.get("FunctionError")


def test_an_environment_is_reused_and_keeps_its_state(aws: Cloud, function: CodeOf) -> None:
    function("counts", "calls = []\ndef handler(event, context):\n    calls.append(event)\n    return len(calls)")
    assert [invoke(aws, "counts")[0] for _ in range(3)] == [1, 2, 3]


def test_a_handler_can_import_only_its_package(aws: Cloud, function: CodeOf) -> None:
    function(
        "alone",
        "from importlib.util import find_spec\n"
        "def handler(event, context):\n    return [find_spec(name) is None for name in event]",
    )
    assert invoke(aws, "alone", ["s3mr", "moto", "boto3", "tests", "pip"]) == ([True] * 5, None)


def test_an_exception_is_returned_with_its_type_and_message(aws: Cloud, function: CodeOf) -> None:
    function("raises", "def handler(event, context):\n    raise KeyError('gone')")
    answer, error = invoke(aws, "raises")
    assert (answer["errorType"], answer["errorMessage"], error) == ("KeyError", "'gone'", "Unhandled")


def test_a_function_that_takes_too_long_is_killed_with_its_child_processes(
    aws: Cloud, function: CodeOf, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    code = f"""
        import pathlib, subprocess, time
        def handler(event, context):
            child = subprocess.Popen(["sleep", "60"], start_new_session=True)
            pathlib.Path({str(started)!r}).write_text(str(child.pid))
            time.sleep(60)
    """
    function("slow", code, timeout_s=1)
    answer, error = invoke(aws, "slow")
    assert answer["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert (answer["errorType"], error) == ("Sandbox.Timedout", "Unhandled")
    child = int(started.read_text())
    until(lambda: state_of(child) in GONE)


def test_a_runtime_that_exits_is_an_error_and_the_next_invocation_gets_a_new_environment(
    aws: Cloud, function: CodeOf
) -> None:
    function("exits", "import os\ndef handler(event, context):\n    return 'fine' if event else os._exit(3)")
    answer, _ = invoke(aws, "exits")
    assert answer["errorType"] == "Runtime.ExitError"
    assert answer["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    assert invoke(aws, "exits", 1) == ("fine", None)


def test_a_function_that_uses_too_much_memory_is_killed(aws: Cloud, function: CodeOf) -> None:
    function(
        "greedy",
        "import time\ndef handler(event, context):\n    kept = bytearray(300 << 20)\n    time.sleep(4)",
        memory_mb=128,
    )
    answer, _ = invoke(aws, "greedy")
    assert answer["errorMessage"].endswith("signal: killed")


def test_a_frozen_environment_does_nothing_between_invocations(aws: Cloud, function: CodeOf) -> None:
    code = """
        import os, subprocess
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        def handler(event, context):
            return os.getpid(), child.pid
    """
    function("sleeps", code)
    mine, _ = invoke(aws, "sleeps")
    until(lambda: [state_of(pid) for pid in mine] == [STOPPED] * 2)
    assert invoke(aws, "sleeps") == (mine, None)


def test_a_success_is_delivered_with_the_fields_that_aws_documents(
    aws: Cloud, function: CodeOf, destination: Callable[[], list[dict[str, Any]]], service: LambdaService
) -> None:
    function("works", "def handler(event, context):\n    return {'got': event}", on_success=DESTINATION)
    aws.administrators("lambda").invoke(FunctionName="works", InvocationType="Event", Payload=b'{"a": 1}')
    service.settle(SETTLE_S)
    (record,) = destination()
    assert record.keys() == {
        "version",
        "timestamp",
        "requestContext",
        "requestPayload",
        "responseContext",
        "responsePayload",
    }
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["functionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:works:$LATEST"
    assert record["requestPayload"] == {"a": 1}
    assert record["responsePayload"] == {"got": {"a": 1}}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}


def test_a_failure_is_retried_as_configured_and_then_delivered(
    aws: Cloud, function: CodeOf, destination: Callable[[], list[dict[str, Any]]], service: LambdaService
) -> None:
    aws.administrators("sqs").create_queue(QueueName="letters")
    failing = function(
        "fails", "def handler(event, context):\n    raise ValueError('no')", retries_max=1, on_failure=DESTINATION
    )
    failing.latest = replace(failing.latest, dead_letters=f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters")
    aws.administrators("lambda").invoke(FunctionName="fails", InvocationType="Event", Payload=b'{"b": 2}')
    service.settle(SETTLE_S)
    (record,) = destination()
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responseContext"]["functionError"] == "Unhandled"
    url = f"{aws.endpoint}/{ACCOUNT}/letters"
    (letter,) = aws.administrators("sqs").receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert json.loads(letter["Body"]) == {"b": 2}
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"] == "no"


def test_an_event_that_is_throttled_for_too_long_expires(
    aws: Cloud, function: CodeOf, destination: Callable[[], list[dict[str, Any]]], service: LambdaService
) -> None:
    function("full", "def handler(event, context):\n    pass", on_failure=DESTINATION, event_age_s_max=0).reserved = 0
    with pytest.raises(ClientError, match="TooManyRequests"):
        invoke(aws, "full")
    aws.administrators("lambda").invoke(FunctionName="full", InvocationType="Event", Payload=b"{}")
    service.settle(SETTLE_S)
    (record,) = destination()
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert "responsePayload" not in record


def test_an_event_for_a_function_with_zero_concurrency_fails_at_once_with_that_reason(
    aws: Cloud, function: CodeOf, destination: Callable[[], list[dict[str, Any]]], service: LambdaService
) -> None:
    function("off", "def handler(event, context):\n    pass", on_failure=DESTINATION).reserved = 0
    aws.administrators("lambda").invoke(FunctionName="off", InvocationType="Event", Payload=b"{}")
    service.settle(SETTLE_S)
    (record,) = destination()
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"


def test_a_function_that_cannot_invoke_its_destination_delivers_nothing(
    aws: Cloud, function: CodeOf, service: LambdaService
) -> None:
    function("elsewhere", "def handler(event, context):\n    pass")
    function(
        "mute", "def handler(event, context):\n    pass", on_success=DESTINATION.replace("destination", "elsewhere")
    )
    aws.administrators("lambda").invoke(FunctionName="mute", InvocationType="Event", Payload=b"{}")
    service.settle(SETTLE_S)
    assert "AccessDenied" in service.undelivered.pop()


def test_an_event_may_be_delivered_twice(
    aws: Cloud, function: CodeOf, destination: Callable[[], list[dict[str, Any]]], service: LambdaService
) -> None:
    service.delivery = Delivery(doubled=1.0)
    function("twice", "def handler(event, context):\n    return 1", on_success=f"{DESTINATION}")
    aws.administrators("lambda").invoke(FunctionName="twice", InvocationType="Event", Payload=b"{}")
    service.settle(SETTLE_S)
    ids = [record["requestContext"]["requestId"] for record in destination()]
    assert len(ids) == 4  # two deliveries, and two records of each
    assert len(set(ids)) == 1


def test_unknown_credentials_are_refused(aws: Cloud) -> None:
    import boto3

    stranger = boto3.client(
        "dynamodb", endpoint_url=aws.endpoint, region_name=REGION, aws_access_key_id="A", aws_secret_access_key="b"
    )
    with pytest.raises(ClientError, match="security token"):
        stranger.list_tables()
