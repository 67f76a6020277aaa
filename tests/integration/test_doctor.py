"""``s3mr doctor`` on stacks in this process's moto: it passes healthy stacks and explains each fault."""

import json
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

from s3mr.cli.doctor import doctor
from s3mr.remote.checkup import Outcome, Question, Step, examine, examine_parts
from s3mr.remote.job_home import open_deployment
from tests.integration.moto_stack import KEYS, MotoStack

STEPS = [
    *("credentials", "stack", "python", "state machine", "functions", "concurrency", "table", "bucket", "logs"),
    *("input", "output"),
]
UNSEEN = "concurrency"  # moto does not implement account settings
FUNCTIONS = ("map", "reduce")


@pytest.fixture(scope="module", autouse=True)
def _aws() -> Iterator[None]:
    with mock_aws(config={"core": {"mock_credentials": False}}):
        yield


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> MotoStack:
    """A healthy stack."""
    with pytest.MonkeyPatch.context() as patch:
        use_owner_credentials(patch)
        made = new_stack("well", tmp_path_factory.mktemp("scratch"))
    client, record = made.client("lambda"), made.outputs["RecordArn"]
    for function in FUNCTIONS:
        client.put_function_event_invoke_config(
            FunctionName=f"{made.name}-{function}",
            MaximumRetryAttempts=0,
            DestinationConfig={"OnSuccess": {"Destination": record}, "OnFailure": {"Destination": record}},
        )
    return made


def new_stack(name: str, scratch: Path, **outputs: str) -> MotoStack:
    return MotoStack(
        None, name, scratch, InputBucketNames="declared-bucket", OutputBucketNames="tidy-bucket", **outputs
    )


@pytest.fixture(autouse=True)
def owner(monkeypatch: pytest.MonkeyPatch) -> None:
    use_owner_credentials(monkeypatch)


def use_owner_credentials(patch: pytest.MonkeyPatch) -> None:
    """Use credentials that allow everything."""
    for name, value in KEYS.items():
        patch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        patch.delenv(name, raising=False)


def steps(name: str = "well", **options: Any) -> dict[str, Step]:
    return {step.name: step for step in examine(Question(stack=name, **options))}


def failed(found: dict[str, Step]) -> list[str]:
    return [name for name, step in found.items() if step.outcome is Outcome.FAILED]


def test_a_healthy_stack_passes_every_step_and_nothing_is_left_behind(stack: MotoStack) -> None:
    stack.s3.put_object(Bucket=stack.bucket, Key="input/a", Body=b"12345")
    found = steps(inputs=[f"s3://{stack.bucket}/input/"], output=f"s3://{stack.bucket}/output/one")
    assert {name: step.outcome for name, step in found.items()} == {
        **dict.fromkeys(STEPS, Outcome.OK),
        UNSEEN: Outcome.SKIPPED,
    }
    assert "eu-central-1, account 123456789012" in found["stack"].found
    assert found["input"].found.startswith("1 objects, 5")
    listed = stack.s3.list_objects_v2(Bucket=stack.bucket)["Contents"]
    assert [each["Key"] for each in listed] == ["input/a"]
    assert stack.client("dynamodb").scan(TableName=stack.table)["Count"] == 0
    assert stack.executions() == []


@pytest.mark.usefixtures("stack")
def test_inputs_and_output_that_are_not_given_are_skipped_with_advice() -> None:
    found = steps()
    assert found["input"].outcome is found["output"].outcome is Outcome.SKIPPED
    assert "--input" in found["input"].found
    assert "--output" in found["output"].found


def test_without_credentials_all_later_steps_are_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = steps()
    assert list(found) == STEPS
    assert failed(found) == ["credentials"]
    assert "no valid AWS credentials" in found["credentials"].found
    assert {step.outcome for name, step in found.items() if name != "credentials"} == {Outcome.SKIPPED}


def test_an_invalid_configuration_fails_the_credentials_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:4566")
    found = steps()
    assert failed(found) == ["credentials"]
    assert "localhost:4566: if that is an address, write a URL" in found["credentials"].found


@pytest.mark.usefixtures("stack")
def test_a_stack_in_another_region_is_not_found_and_the_region_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    found = steps()
    assert failed(found) == ["stack"]
    assert "there is no stack well in us-west-2" in found["stack"].found
    assert found["table"].outcome is Outcome.SKIPPED


def test_each_fault_of_a_stack_is_reported_in_its_step(tmp_path: Path) -> None:
    poorly = new_stack("poorly", tmp_path, S3mrVersion="0.0.9", FunctionRuntime="python3.99")
    poorly.client("stepfunctions").delete_state_machine(stateMachineArn=poorly.outputs["JobsArn"])
    poorly.client("dynamodb").delete_table(TableName=poorly.table)
    poorly.s3.delete_bucket(Bucket=poorly.bucket)
    found = steps("poorly")
    assert failed(found) == ["state machine", "functions", "table", "bucket"]
    assert "s3mr 0.0.9 (this command is" in found["stack"].found
    assert "jobs with compiled packages will be refused" in found["python"].found
    assert "its reports would be lost" in found["functions"].found
    assert "sam deploy" in str(found["functions"].advice)
    done = CliRunner().invoke(doctor, [], env={"S3MR_STACK": "poorly"})
    assert done.exit_code == 1
    assert "✗ functions" in done.stdout
    assert "→ redeploy the stack" in done.stdout
    poorly.deploy(SchemaVersion="99")
    found = steps("poorly")
    assert failed(found) == ["stack"]
    assert "schema 99" in found["stack"].found


@pytest.fixture(scope="module")
def buckets(stack: MotoStack) -> None:
    for bucket in ("declared-bucket", "tidy-bucket"):
        stack.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    stack.s3.put_object(Bucket=stack.bucket, Key="output/full/x", Body=b"x")
    tidy = {"Status": "Enabled", "Prefix": "", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}}
    stack.s3.put_bucket_lifecycle_configuration(Bucket="tidy-bucket", LifecycleConfiguration={"Rules": [tidy]})


@pytest.mark.usefixtures("buckets")
@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        (
            {"inputs": ["s3://elsewhere/in"], "output": "s3://elsewhere/out"},
            ("have no access to bucket elsewhere", "have no access to bucket elsewhere"),
        ),
        (
            {"inputs": ["s3://declared-bucket/in"], "output": "s3://well-bucket/output/full"},
            ("no object and no prefix", "not empty"),
        ),
        (
            {"inputs": ["s3://declared-bucket/"], "output": "s3://tidy-bucket/out", "deadline_s": 5 * 86400.0},
            ("no object and no prefix", "aborts uploads 2 d after"),
        ),
    ],
)
def test_doctor_finds_the_reasons_that_would_refuse_a_job(options: dict[str, Any], reasons: tuple[str, str]) -> None:
    found = steps(**options)
    assert failed(found) == ["input", "output"]
    assert reasons[0] in found["input"].found
    assert reasons[1] in found["output"].found


RIGHTS = {
    "state machine": [f"states:{one}" for one in ("DescribeStateMachine", "DescribeExecution", "StartExecution")],
    "table": [
        f"dynamodb:{one}" for one in ("GetItem", "Query", "BatchGetItem", "PutItem", "DeleteItem", "BatchWriteItem")
    ],
    "bucket": [f"s3:{one}" for one in ("PutObject", "GetObject", "ListBucket", "DeleteObject")],
    "logs": ["logs:FilterLogEvents"],
}


@pytest.fixture
def examined_without(stack: MotoStack, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], dict[str, Step]]:
    """Examine the stack as a user with every permission except these, while moto enforces IAM.

    Lambda is left out: with IAM enforced, moto refuses every signed request to it.
    """
    iam = stack.client("iam")

    def look(rights: list[str]) -> dict[str, Step]:
        deployment = open_deployment("well")
        name = rights[0].replace(":", "-")
        iam.create_user(UserName=name)
        statements = [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": rights, "Resource": "*"},
        ]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName=name, PolicyName="all-but-some", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        examined: list[Step] = set_initial_no_auth_action_count(0)(
            lambda: list(examine_parts(deployment, Question(stack="well")))
        )()
        return {step.name: step for step in examined if step.name in RIGHTS}

    return look


@pytest.mark.parametrize("missing", list(zip_longest(*RIGHTS.values())), ids=str)
def test_each_missing_permission_fails_its_step_and_names_the_policy_that_grants_it(
    examined_without: Callable[[list[str]], dict[str, Step]], missing: tuple[str | None, ...]
) -> None:
    expected = {name: right for name, right in zip(RIGHTS, missing, strict=True) if right}
    found = examined_without(list(expected.values()))
    assert failed(found) == list(expected)
    for name, right in expected.items():
        assert "denied" in found[name].found.lower().replace(" ", "")
        assert "SubmitPolicyArn" in str(found[name].advice)
        if name in ("state machine", "table"):
            assert found[name].found.startswith(f"{right} on ")


def test_doctor_prints_one_line_per_step_and_exits_with_0_if_all_pass(stack: MotoStack) -> None:
    done = CliRunner().invoke(doctor, ["--stack", stack.name])
    assert done.exit_code == 0
    lines = [line for line in done.stdout.splitlines() if line[0] in "✓✗–"]
    assert [line[2:15].strip() for line in lines] == STEPS
    assert {line[0] for line in lines} == {"✓", "–"}


def test_doctor_json_prints_one_object(stack: MotoStack) -> None:
    done = CliRunner().invoke(doctor, ["--stack", stack.name, "--json"])
    answer = json.loads(done.stdout)
    assert (answer["stack"], answer["well"]) == ("well", True)
    assert [step["name"] for step in answer["steps"]] == STEPS
    assert answer["steps"][-1]["outcome"] == "skipped"
