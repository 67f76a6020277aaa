"""Coordinators that fail, are stopped, or hand over: their job succeeds, or releases its output."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from s3mr import limits
from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.lambda_resources import FUNCTIONS
from tests.deployed.harness.leases import SETTLE_S
from tests.deployed.harness.person import Person
from tests.deployed.harness.waiting import WAITS, TaskGate, until

TABLE, START = "dynamodb:*", "states:StartExecution"
NO_JOB = "20260101-000000-00000000"


@pytest.fixture
def waiting_job(person: Person, gate: TaskGate) -> tuple[str, str]:
    """A running job that waits: its ID and its output."""
    output = person.output()
    options = ("--reducers", "1", *gate.options)
    job_id = person.submit(person.job(WAITS), person.upload("slow!"), "--output", output, *options)
    until(lambda: gate.reached("slow!"))
    return job_id, output


def test_a_job_whose_execution_is_stopped_releases_its_output(
    aws: Cloud, person: Person, gate: TaskGate, waiting_job: tuple[str, str]
) -> None:
    job_id, output = waiting_job
    aws.administrators("stepfunctions").stop_execution(executionArn=_execution(person, f"{job_id}-0"))
    failed = person.run("watch", job_id, expect=1)
    assert "its execution has ended as ABORTED" in failed.stderr
    assert person.names(output) == []
    assert person.uploads(output) == []
    person.run("run", person.job(WAITS), person.upload("x"), "--output", output, *gate.options)


def test_a_job_ends_if_its_coordinator_fails_permanently(
    aws: Cloud, person: Person, waiting_job: tuple[str, str]
) -> None:
    job_id, output = waiting_job
    execution = _execution(person, f"{job_id}-0")
    with _denied(aws, "TickRole", TABLE):
        until(lambda: "SayWhy" in _states(aws, execution))
    failed = person.run("watch", job_id, expect=1)
    assert "its coordinator failed" in failed.stderr
    assert person.names(output) == []


def test_the_rule_releases_a_job_whose_release_failed(aws: Cloud, person: Person, waiting_job: tuple[str, str]) -> None:
    job_id, _ = waiting_job
    execution = _execution(person, f"{job_id}-0")
    with _denied(aws, "TickRole", TABLE):
        until(lambda: _describe(aws, execution)["status"] == "FAILED")
    assert "its execution has ended as FAILED" in person.run("watch", job_id, expect=1).stderr


def test_a_new_execution_takes_over_before_the_history_is_full(
    aws: Cloud, person: Person, gate: TaskGate, waiting_job: tuple[str, str]
) -> None:
    job_id, output = waiting_job
    stale = _describe(aws, _execution(person, f"{job_id}-0"))
    given = json.loads(stale["input"]) | {"number": 7, "answer": {"round": limits.ROUNDS_MAX - 1}}
    for name in ("again", "and-again"):  # the second one finds that its successor exists, which is also a success
        aws.administrators("stepfunctions").start_execution(
            stateMachineArn=person.stack.outputs["JobsArn"], name=f"{job_id}-{name}", input=json.dumps(given)
        )
    gate.open()
    person.run("watch", job_id)
    assert person.lines(output) == ["slow!\t1"]
    for name in ("again", "and-again"):
        execution = _execution(person, f"{job_id}-{name}")
        until(lambda: _describe(aws, execution)["status"] == "SUCCEEDED")  # noqa: B023 - awaited here
        assert "Continued" in _states(aws, execution)
    assert json.loads(_describe(aws, _execution(person, f"{job_id}-8"))["input"])["number"] == 8


def test_a_report_that_cannot_be_recorded_is_retried_and_kept_as_a_dead_letter(aws: Cloud, person: Person) -> None:
    record = {
        "requestContext": {"condition": "Success"},
        "responsePayload": {
            "job_id": NO_JOB, "phase": "map", "task": 0, "attempt": 1, "token": "0", "worker": None,
            "failure": {"kind": "crash", "message": "x", "phase": "map", "task": 0, "attempt": 1},
        },
    }  # fmt: skip
    function, _ = FUNCTIONS.find("s3mr-record")
    with _denied(aws, "RecordRole", TABLE):
        aws.administrators("lambda").invoke(
            FunctionName=f"{function.arn}:{function.aliases['live']}",
            InvocationType="Event",
            Payload=json.dumps(record),
        )
        aws.service.settle(SETTLE_S)
    letter = next(letter for letter in _letters(aws, person) if json.loads(letter["Body"]) == record)
    assert "AccessDenied" in letter["MessageAttributes"]["ErrorMessage"]["StringValue"]


def test_a_release_that_cannot_be_started_is_kept_as_a_dead_letter(
    aws: Cloud, person: Person, waiting_job: tuple[str, str]
) -> None:
    job_id, _ = waiting_job
    execution = _execution(person, f"{job_id}-0")

    def kept() -> dict[str, Any] | None:
        letters = _letters(aws, person)
        return next((one for one in letters if execution in json.loads(one["Body"]).get("resources", ())), None)

    with _denied(aws, "JobsEndedRole", START):
        aws.administrators("stepfunctions").stop_execution(executionArn=execution)
        letter = until(kept)
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "AccessDeniedException"
    person.run("cancel", job_id)  # this starts another coordinator
    person.run("watch", job_id, expect=1)


def test_coordinators_of_a_cleaned_up_job_end_without_an_error(aws: Cloud, person: Person) -> None:
    led = {"job_id": NO_JOB, "tick": person.stack.outputs["TickArn"], "number": 0, "answer": {"round": 7}}
    ended = {"executionArn": "arn", "status": "FAILED", "input": json.dumps(led)}
    for name, given in (("led", led), ("ended", ended)):
        aws.administrators("stepfunctions").start_execution(
            stateMachineArn=person.stack.outputs["JobsArn"], name=f"cleaned-{name}", input=json.dumps(given)
        )
    for name, last in (("led", "Tick"), ("ended", "Release")):
        execution = _execution(person, f"cleaned-{name}")
        until(lambda: _describe(aws, execution)["status"] == "SUCCEEDED")  # noqa: B023 - awaited here
        assert _states(aws, execution).count(last) == 1


def _letters(aws: Cloud, person: Person) -> list[dict[str, Any]]:
    """Return the dead letters. Tasks of jobs that have ended may have sent some, too."""
    queue = person.stack.resource("DeadLetters")
    answer = aws.administrators("sqs").receive_message(
        QueueUrl=queue, MessageAttributeNames=["All"], MaxNumberOfMessages=10
    )
    letters: list[dict[str, Any]] = answer.get("Messages", [])
    return letters


@contextmanager
def _denied(aws: Cloud, role: str, action: str) -> Iterator[None]:
    """Deny an action to a role for a while."""
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": action, "Resource": "*"}]}
    iam = aws.administrators("iam")
    name = next(one["RoleName"] for one in iam.list_roles()["Roles"] if one["RoleName"].startswith(f"s3mr-{role}"))
    iam.put_role_policy(RoleName=name, PolicyName="denied", PolicyDocument=json.dumps(deny))
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="denied")


def _execution(person: Person, name: str) -> str:
    return person.stack.outputs["JobsArn"].replace(":stateMachine:", ":execution:") + f":{name}"


def _describe(aws: Cloud, execution: str) -> dict[str, Any]:
    described: dict[str, Any] = aws.administrators("stepfunctions").describe_execution(executionArn=execution)
    return described


def _states(aws: Cloud, execution: str) -> list[str]:
    history = aws.administrators("stepfunctions").get_execution_history(executionArn=execution)["events"]
    return [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]
