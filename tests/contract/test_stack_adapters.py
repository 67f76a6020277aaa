"""The adapters of a stack on moto: CloudFormation, Step Functions, logs, and their clients."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import moto
import pytest
from moto.cloudformation.models import cloudformation_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from s3mr.adapters.aws import clients
from s3mr.adapters.aws.cloudformation import describe_stack
from s3mr.adapters.aws.function_logs import About, FunctionLogs
from s3mr.adapters.aws.step_functions import StateMachine, StateMachineExecution
from s3mr.errors import RequestError, TransientError
from s3mr.model.job import SCHEMA_VERSION
from s3mr.model.stack import StackDescription
from tests.integration.moto_stack import KEYS, REGION, MotoStack

NOW = int(time.time())  # CloudWatch accepts no lines that are older than two weeks
JOB = "20260102-030405-0a1b2c3d"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[clients.Meter]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with moto.mock_aws():
        yield clients.Meter()


@pytest.fixture
def deployed(aws: clients.Meter, tmp_path: Path) -> MotoStack:  # noqa: ARG001 - moto is on
    return MotoStack(None, "s3mr", tmp_path, InputBucketNames="logs,books", OutputBucketNames="results")


def described(meter: clients.Meter, name: str = "s3mr", *, to_submit: bool = False) -> StackDescription:
    return describe_stack(
        clients.cloudformation_client(meter), clients.lambda_client(None, meter), name, to_submit=to_submit
    )


def set_status(name: str, status: str) -> None:
    backend = cloudformation_backends[DEFAULT_ACCOUNT_ID][REGION]
    (stack,) = [stack for stack in backend.stacks.values() if stack.name == name]
    stack.status = status


def test_a_stack_describes_itself_and_its_live_versions(aws: clients.Meter, deployed: MotoStack) -> None:
    found = described(aws, to_submit=True)
    function = f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:s3mr-"
    assert (found.tick, found.functions.map, found.functions.reduce) == (
        f"{function}tick:1",
        f"{function}map:1",
        f"{function}reduce:1",
    )
    assert (found.bucket, found.table, found.account) == (deployed.bucket, deployed.table, DEFAULT_ACCOUNT_ID)
    assert sorted(found.input_buckets) == ["books", "logs"]
    assert sorted(found.output_buckets) == ["results"]
    assert (found.memory_mb, found.timeout_s, found.workers_max) == (512, 60, 4)
    deployed.deploy(InputBucketNames="-")
    again = described(aws)
    assert (again.tick, again.functions.map) == (f"{function}tick:2", f"{function}map:2")
    assert again.input_buckets == frozenset()


@pytest.mark.usefixtures("deployed")
def test_a_stack_given_by_its_arn_is_shown_by_its_name(aws: clients.Meter) -> None:
    arn = clients.cloudformation_client(aws).describe_stacks(StackName="s3mr")["Stacks"][0]["StackId"]
    assert described(aws, arn).name == "s3mr"


@pytest.mark.parametrize("name", ["other", "no such name!"])
def test_a_missing_stack_is_refused_with_the_region_that_was_searched(aws: clients.Meter, name: str) -> None:
    with pytest.raises(RequestError, match=f"no stack {name} in {REGION} .*check --stack, AWS_REGION and AWS_PROFILE"):
        described(aws, name)


def test_a_stack_that_is_not_s3mrs_is_refused(aws: clients.Meter) -> None:
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    clients.cloudformation_client(aws).create_stack(StackName="other", TemplateBody=template)
    with pytest.raises(RequestError, match="was not deployed from s3mr's template"):
        described(aws, "other")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("CREATE_IN_PROGRESS", "still being created"),
        ("REVIEW_IN_PROGRESS", "still being created"),
        ("CREATE_FAILED", "not complete .*repair it, and deploy"),
        ("ROLLBACK_IN_PROGRESS", "wait until it is rolled back, then sam delete --stack-name s3mr"),
        ("ROLLBACK_COMPLETE", "must be deleted first: sam delete --stack-name s3mr, and deploy it again"),
        ("ROLLBACK_FAILED", "must be deleted first: sam delete --stack-name s3mr, and deploy it again"),
        ("DELETE_IN_PROGRESS", "being deleted .*when that has ended, deploy it again"),
        ("DELETE_FAILED", "bucket is not empty: empty the bucket .*then repeat sam delete --stack-name s3mr$"),
    ],
)
@pytest.mark.usefixtures("deployed")
def test_an_incomplete_stack_is_refused_with_its_status_and_advice(
    aws: clients.Meter, status: str, message: str
) -> None:
    set_status("s3mr", status)
    for to_submit in (False, True):
        with pytest.raises(RequestError, match=message) as refused:
            described(aws, to_submit=to_submit)
        assert f"({status})" in str(refused.value)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("UPDATE_IN_PROGRESS", "being deployed .*submit again when that has ended"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "being deployed .*submit again when that has ended"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name s3mr, and then deploy"),
        ("UPDATE_FAILED", "not complete .*repair it, and deploy"),
    ],
)
@pytest.mark.usefixtures("deployed")
def test_during_or_after_a_failed_deploy_only_existing_jobs_are_served(
    aws: clients.Meter, status: str, message: str
) -> None:
    set_status("s3mr", status)
    assert described(aws).name == "s3mr"
    with pytest.raises(RequestError, match=message) as refused:
        described(aws, to_submit=True)
    assert f"({status})" in str(refused.value)


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"])
@pytest.mark.usefixtures("deployed")
def test_a_stack_accepts_jobs_after_a_complete_or_rolled_back_deploy(aws: clients.Meter, status: str) -> None:
    set_status("s3mr", status)
    assert described(aws, to_submit=True).name == "s3mr"


@pytest.mark.parametrize(
    ("schema", "advice"),
    [
        (SCHEMA_VERSION - 1, "update the stack from this version's checkout"),
        (SCHEMA_VERSION + 1, "install s3mr 9.9 here"),
    ],
)
def test_a_stack_with_another_schema_is_refused_and_the_older_side_must_be_updated(
    aws: clients.Meter, deployed: MotoStack, schema: int, advice: str
) -> None:
    deployed.deploy(SchemaVersion=str(schema), S3mrVersion="9.9")
    message = rf"is of s3mr 9.9 .schema {schema}., but this command has schema {SCHEMA_VERSION}: {advice}"
    with pytest.raises(RequestError, match=message):
        described(aws)


@pytest.mark.parametrize(
    ("output", "value"), [("WorkerMemoryMb", "much"), ("WorkerTimeoutS", "-5"), ("MapArn", "arn:aws:lambda:x:map")]
)
def test_unreadable_outputs_are_refused(aws: clients.Meter, deployed: MotoStack, output: str, value: str) -> None:
    deployed.deploy(**{output: value})
    with pytest.raises(RequestError, match=r"outputs that cannot be read .*deploy it again"):
        described(aws)


def machine(meter: clients.Meter, deployed: MotoStack) -> StateMachine:
    return StateMachine(clients.step_functions_client(meter), deployed.outputs["JobsArn"])


def test_a_coordinator_is_started_once_even_if_it_is_requested_again(aws: clients.Meter, deployed: MotoStack) -> None:
    jobs = machine(aws, deployed)
    assert jobs.latest(JOB) is None
    jobs.start(JOB, tick="tick:7")
    jobs.start(JOB, tick="tick:7")
    jobs.start(JOB, tick="tick:8")
    (execution,) = deployed.executions()
    assert execution["name"] == f"{JOB}-0"
    assert json.loads(execution["input"]) == {"job_id": JOB, "tick": "tick:7", "number": 0, "answer": {"round": 0}}
    assert jobs.latest(JOB) == StateMachineExecution(0, "RUNNING", "tick:7")


def test_a_job_whose_coordinator_ended_gets_a_new_one_with_the_same_version(
    aws: clients.Meter, deployed: MotoStack
) -> None:
    jobs = machine(aws, deployed)
    assert jobs.ensure(JOB, tick="tick:7")
    assert not jobs.ensure(JOB, tick="tick:8")
    clients.step_functions_client(aws).stop_execution(executionArn=deployed.executions()[0]["executionArn"])
    jobs.start(JOB, tick="tick:8")  # its name can never be used again
    assert jobs.ensure(JOB, tick="tick:8")
    assert [(one["name"], one["status"], json.loads(one["input"])["tick"]) for one in deployed.executions()] == [
        (f"{JOB}-0", "ABORTED", "tick:7"),
        (f"{JOB}-1", "RUNNING", "tick:7"),
    ]
    assert jobs.latest(JOB) == StateMachineExecution(1, "RUNNING", "tick:7")


@pytest.mark.parametrize(("count", "looks"), [(1, 2), (2, 3), (3, 5), (5, 7), (16, 9), (23, 11)])
def test_the_latest_of_many_coordinators_is_found_with_few_requests(
    aws: clients.Meter, deployed: MotoStack, count: int, looks: int
) -> None:
    jobs = machine(aws, deployed)
    for number in range(count):
        jobs.start(JOB, tick=f"tick:{number}", number=number)
    before = aws.counts()
    assert jobs.latest(JOB) == StateMachineExecution(count - 1, "RUNNING", f"tick:{count - 1}")
    sent = Counter(aws.counts()) - Counter(before)
    assert sum(sent.values()) == looks


def test_a_missing_state_machine_is_reported(aws: clients.Meter, deployed: MotoStack) -> None:
    gone = StateMachine(clients.step_functions_client(aws), deployed.outputs["JobsArn"].replace("s3mr-jobs", "gone"))
    with pytest.raises(RequestError, match="no such state machine"):
        gone.start(JOB, tick="tick:7")


def line(number: int, job_id: str = JOB, **more: Any) -> dict[str, Any]:
    return {"job_id": job_id, "message": f"line {number}", "phase": "map", "task": 3, **more}


def test_log_lines_are_found_by_job_phase_and_task_in_order_of_time(aws: clients.Meter, deployed: MotoStack) -> None:
    deployed.log("map", line(1), line(2, "other"), "START RequestId: 1", line(3, task=4), "{", "[3]", at=NOW)
    deployed.log("reduce", line(4, phase="reduce"), at=NOW + 1)
    deployed.log("map", line(5), at=NOW + 2)
    logs = FunctionLogs(clients.logs_client(aws))
    groups = [f"/aws/lambda/s3mr-{name}" for name in ("map", "reduce", "record")]  # the last group does not exist

    def found(start_at: float = 0, stop_at: float | None = None, **about: Any) -> list[str]:
        lines = logs.lines(groups, About(job_id=JOB, **about), start_at=start_at, stop_at=stop_at)
        return [one.fields["message"].removeprefix("line ") for one in lines]

    assert found() == ["1", "3", "4", "5"]
    assert found(phase="map") == ["1", "3", "5"]
    assert found(phase="map", task=3) == ["1", "5"]
    assert found(start_at=NOW + 0.5) == ["4", "5"]
    assert found(stop_at=NOW + 1.5) == ["1", "3", "4"]


def test_many_log_lines_are_read_page_by_page(aws: clients.Meter, deployed: MotoStack, monkeypatch: Any) -> None:
    deployed.log("map", *(line(number) for number in range(25)), at=NOW)
    monkeypatch.setattr("s3mr.adapters.aws.function_logs._PAGE_EVENTS", 10)
    logs = FunctionLogs(clients.logs_client(aws))
    lines = list(logs.lines(["/aws/lambda/s3mr-map"], About(job_id=JOB), start_at=0))
    assert [one.fields["message"] for one in lines] == [f"line {number}" for number in range(25)]
    assert len({one.id for one in lines}) == 25


def test_log_lines_without_event_ids_get_distinct_and_stable_ids(aws: clients.Meter, deployed: MotoStack) -> None:
    deployed.log("map", line(1), line(1), line(2), at=NOW)
    client = clients.logs_client(aws)

    def leave_out(parsed: dict[str, Any], **_: Any) -> None:
        for event in parsed["events"]:
            del event["eventId"]

    client.meta.events.register("after-call.cloudwatch-logs.FilterLogEvents", leave_out)
    logs = FunctionLogs(client)
    first, again = (list(logs.lines(["/aws/lambda/s3mr-map"], About(job_id=JOB), start_at=0)) for _ in range(2))
    assert [one.fields["message"] for one in first] == ["line 1", "line 1", "line 2"]
    assert len({one.id for one in first}) == 3
    assert [one.id for one in first] == [one.id for one in again]


CLIENTS: list[Callable[[clients.Meter], Any]] = [
    lambda meter: clients.s3_client(None, meter, connections_max=1),
    lambda meter: clients.dynamodb_client(None, meter, connections_max=1),
    lambda meter: clients.lambda_client(None, meter),
    clients.cloudformation_client,
    clients.step_functions_client,
    clients.logs_client,
    clients.sts_client,
]


@pytest.mark.parametrize("make", CLIENTS)
def test_clients_respect_awss_environment_variables(
    make: Callable[[clients.Meter], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configuration = tmp_path / "config"
    configuration.write_text("[profile theirs]\nregion = us-west-2\nendpoint_url = http://127.0.0.1:8\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("AWS_PROFILE", "theirs")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    meter = clients.Meter()
    assert (make(meter).meta.region_name, make(meter).meta.endpoint_url) == ("us-west-2", "http://127.0.0.1:8")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert make(meter).meta.region_name == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert (make(meter).meta.region_name, make(meter).meta.endpoint_url) == ("eu-north-1", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(RequestError, match="nobody"):
        make(meter)


def test_a_missing_region_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RequestError, match="set AWS_REGION"):
        clients.cloudformation_client(clients.Meter())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AWS_ENDPOINT_URL", "localhost:4566", "Invalid endpoint: localhost:4566: .* as in http://localhost:4566"),
        ("AWS_ENDPOINT_URL", "http://localhost:port", "'port': .* write a URL, as in http://localhost:4566"),
        ("AWS_REGION", "us east 1", "'us east 1' doesn't match"),
        ("AWS_DEFAULTS_MODE", "zzz", "invalid defaults mode: zzz"),
        ("AWS_CONFIG_FILE", "{folder}/broken", "Unable to parse config file: .*/broken"),
    ],
)
@pytest.mark.parametrize("make", CLIENTS)
def test_an_invalid_aws_configuration_is_refused_with_its_error(
    make: Callable[[clients.Meter], Any], name: str, value: str, message: str, monkeypatch: Any, tmp_path: Path
) -> None:
    (tmp_path / "broken").write_text("[default]\nregion\n")
    for variable in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    for variable, given in {**KEYS, name: value.format(folder=tmp_path)}.items():
        monkeypatch.setenv(variable, given)
    with pytest.raises(RequestError, match=f"^the AWS configuration: .*{message}"):
        make(clients.Meter())


def test_unreachable_services_are_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clients, "_tries", lambda _: {"retries": {"total_max_attempts": 1}})
    with pytest.raises(TransientError, match="looking for stack s3mr"):
        described(clients.Meter())


@pytest.mark.usefixtures("deployed")
def test_requests_are_counted(aws: clients.Meter) -> None:
    described(aws)
    assert aws.counts() == {"cloudformation:DescribeStacks": 1, "lambda:GetAlias": 3}
