"""The template and the code agree: bounds, versions, dependencies; rights are named, and bound to what they name."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from s3mr import limits
from s3mr.errors import TransientError
from s3mr.model.job import SCHEMA_VERSION

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGE = tomllib.loads((ROOT / "lambdas" / "pyproject.toml").read_text(encoding="utf-8"))
WORKERS = ("Map", "Reduce")
DAY_S = 24 * 3600


def statements(owner: str) -> list[dict[str, Any]]:
    """The statements of a role or managed policy, also those that stand under a condition."""
    properties = RESOURCES[owner]["Properties"]
    documents = [one["PolicyDocument"] for one in properties.get("Policies", [])] or [properties["PolicyDocument"]]
    every = [one for document in documents for one in document["Statement"]]
    return [one["Fn::If"][1] if "Fn::If" in one else one for one in every]


OWNERS = [name for name, one in RESOURCES.items() if one["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(owner: str) -> Iterator[str]:
    for one in statements(owner):
        yield from (f"{one['Effect']} {action}" for action in listed(one["Action"]))


def test_what_lambda_is_told_is_what_leases_count_on() -> None:
    for name in WORKERS:
        told = RESOURCES[f"{name}InvokeConfig"]["Properties"]
        assert told["MaximumRetryAttempts"] == 0
        assert told["MaximumEventAgeInSeconds"] == limits.EVENT_AGE_S
        assert told["DestinationConfig"]["OnSuccess"] == told["DestinationConfig"]["OnFailure"]
    longest_s = TEMPLATE["Parameters"]["WorkerTimeout"]["MaxValue"]
    assert longest_s <= limits.TASK_TIMEOUT_S
    assert RESOURCES["RecordInvokeConfig"]["Properties"]["MaximumRetryAttempts"] == 2


def test_settings_of_a_version_stay_when_a_deploy_publishes_another() -> None:
    for name in ("Record", *WORKERS):
        config = RESOURCES[f"{name}InvokeConfig"]
        assert config["UpdateReplacePolicy"] == "Retain"
        assert {"Ref": f"{name}Function.Version"} in config["Properties"]["Qualifier"]["Fn::Select"][1]["Fn::Split"]
    for name in ("Tick", "Record", *WORKERS):
        function = RESOURCES[f"{name}Function"]
        assert function["Properties"]["AutoPublishAliasAllProperties"] is True
        assert function["UpdateReplacePolicy"] == "Retain"
        assert "DeletionPolicy" not in function  # SAM would give it to the versions, and keeps them without


def test_a_parameter_that_changes_a_function_publishes_a_version_of_it() -> None:
    for name in ("Tick", "Record", *WORKERS):
        properties = {**TEMPLATE["Globals"]["Function"], **RESOURCES[f"{name}Function"]["Properties"]}
        described = set(re.findall(r"\$\{(\w+)\}", properties.pop("VersionDescription")["Fn::Sub"]))
        reserved = {"MapReservedConcurrency", "ReduceReservedConcurrency", "CoordinatorReservedConcurrency"}
        used = set(re.findall(r"'Ref': '(\w+)'", repr(properties))) & set(TEMPLATE["Parameters"])
        assert described == used - reserved, name


def test_what_a_job_needs_outlives_its_longest_deadline() -> None:
    rules = RESOURCES["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {rule.get("Prefix") for rule in rules} == {"jobs/", "plan/", None}
    for rule in rules:
        days = rule.get("ExpirationInDays") or rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        assert days * DAY_S == limits.INTERMEDIATES_S > limits.DEADLINE_S_MAX


def test_an_execution_hands_over_before_its_history_or_its_time_is_full() -> None:
    definition = RESOURCES["Jobs"]["Properties"]["Definition"]
    judge = definition["States"]["Judge"]["Choices"][1]
    assert judge["NumericGreaterThanEquals"] == limits.ROUNDS_MAX
    retriers = definition["States"]["Tick"]["Retry"]  # each counts its own errors, so one round may use up all
    events = 9 + 3 * sum(retrier["MaxAttempts"] for retrier in retriers)
    assert events < limits.ROUND_EVENTS_MAX
    assert limits.ROUNDS_MAX * limits.ROUND_EVENTS_MAX < limits.HISTORY_EVENTS_MAX - 1_000  # what a release needs
    timeout_s = RESOURCES["TickFunction"]["Properties"]["Timeout"]
    assert limits.ROUND_S + 300 < timeout_s < definition["States"]["Tick"]["TimeoutSeconds"]
    assert definition["TimeoutSeconds"] > limits.DEADLINE_S_MAX + limits.TASK_TIMEOUT_S


@pytest.mark.parametrize("state", ["Tick", "Release"])
def test_a_job_waits_for_hours_for_a_service_that_is_busy_or_down(state: str) -> None:
    busy, other = RESOURCES["Jobs"]["Properties"]["Definition"]["States"][state]["Retry"]
    assert set(busy["ErrorEquals"]) == {
        "Lambda.TooManyRequestsException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.ClientExecutionTimeoutException",
        TransientError.__name__,  # what a function raises has its class's name
    }
    assert (busy["MaxDelaySeconds"], busy["JitterStrategy"]) == (300, "FULL")
    delays_s = [
        min(busy["MaxDelaySeconds"], busy["IntervalSeconds"] * busy["BackoffRate"] ** retry)
        for retry in range(busy["MaxAttempts"])
    ]
    assert sum(delays_s) / 2 > 3 * 3600  # half of them, for the jitter is full
    assert other["ErrorEquals"] == ["States.ALL"]


def test_no_function_can_be_switched_off_by_reserving_nothing_for_it() -> None:
    """AWS takes a reserved concurrency of 0 to mean that a function is never run."""
    reserved = [name for name in TEMPLATE["Parameters"] if name.endswith("ReservedConcurrency")]
    assert reserved == [f"{one}ReservedConcurrency" for one in ("Map", "Reduce", "Coordinator")]
    for name in reserved:
        parameter = TEMPLATE["Parameters"][name]
        assert parameter["Type"] == "String"  # CloudFormation asks no pattern of a number
        allowed = re.compile(parameter["AllowedPattern"])
        assert all(allowed.fullmatch(one) for one in (parameter["Default"], "-1", "1", "20", "1000"))
        assert not any(allowed.fullmatch(one) for one in ("0", "00", "-0", "-2", "", "1.5"))


def test_every_state_that_can_fail_leads_to_a_release() -> None:
    states = RESOURCES["Jobs"]["Properties"]["Definition"]["States"]
    for name in ("Tick", "Continue"):
        last = states[name]["Catch"][-1]
        assert (last["ErrorEquals"], last["Next"]) == (["States.ALL"], "SayWhy")
    assert states["SayWhy"]["Next"] == "Release"
    pattern = RESOURCES["JobsEndedRule"]["Properties"]["EventPattern"]
    assert pattern["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]


def test_a_round_says_that_it_is_not_the_first_wherever_its_job_may_be_cleaned_up() -> None:
    states = RESOURCES["Jobs"]["Properties"]["Definition"]["States"]
    for name in ("Tick", "Release"):
        assert states[name]["Parameters"]["Payload"]["round.$"] == "$.answer.round"
    assert states["SayWhy"]["Parameters"]["answer.$"] == "$.answer"  # a job that never was stays an error
    for given in (states["NameJob"]["Parameters"], states["Continue"]["Parameters"]["Input"]):
        assert given["answer"] == {"round": 1}


def test_a_release_that_cannot_be_started_is_tried_again_and_then_kept() -> None:
    (target,) = RESOURCES["JobsEndedRule"]["Properties"]["Targets"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": DAY_S, "MaximumRetryAttempts": 185}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}
    policy = RESOURCES["DeadLettersPolicy"]["Properties"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert policy["Queues"] == [{"Ref": "DeadLetters"}]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["JobsEndedRule", "Arn"]}}}
    (dimension,) = RESOURCES["DeadLettersAlarm"]["Properties"]["Dimensions"]
    assert dimension["Value"] == {"Fn::GetAtt": ["DeadLetters", "QueueName"]}


def test_services_take_a_role_for_this_account_alone_where_they_say_for_whom_they_act() -> None:
    trusts = [one["Properties"] for one in RESOURCES.values() if one["Type"] == "AWS::IAM::Role"]
    conditions = {}
    for (trust,) in (one["AssumeRolePolicyDocument"]["Statement"] for one in trusts):
        conditions[trust["Principal"]["Service"]] = trust.get("Condition")
    this_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert conditions == {
        "states.amazonaws.com": this_account,
        "events.amazonaws.com": this_account,
        "lambda.amazonaws.com": None,  # it says nothing when it takes an execution role
    }


def test_versions_agree() -> None:
    assert TEMPLATE["Outputs"]["SchemaVersion"]["Value"] == str(SCHEMA_VERSION)
    assert TEMPLATE["Outputs"]["S3mrVersion"]["Value"] == PROJECT["version"] == PACKAGE["project"]["version"]


def test_the_functions_depend_on_what_s3mr_depends_on_but_for_the_command_line() -> None:
    functions = {line for line in PACKAGE["project"]["dependencies"] if not line.startswith("aws-lambda-powertools")}
    command_line = {line for line in PROJECT["dependencies"] if re.match(r"click|rich", line)}
    assert functions == set(PROJECT["dependencies"]) - command_line


def test_what_the_functions_are_made_of_is_locked() -> None:
    pins = (ROOT / "lambdas" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert "./lambdas" in pins
    for line in PACKAGE["project"]["dependencies"]:
        name = re.match(r"[\w-]+", line)
        assert name
        assert any(pin.startswith(f"{name[0]}==") for pin in pins), f"make lock: {name[0]} is not pinned"


def test_the_package_holds_all_of_s3mr_but_what_runs_on_the_users_machine_alone() -> None:
    packed = set(PACKAGE["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"].values())
    ours = {f"s3mr/{path.name}" for path in (ROOT / "s3mr").iterdir() if path.name not in ("__pycache__", "py.typed")}
    here = {
        "s3mr/cli",
        "s3mr/endpoint.py",
        "s3mr/local",
        "s3mr/remote",
        "s3mr/verification.py",
    }
    assert ours - packed == here
    assert not packed - ours


@pytest.mark.parametrize("owner", OWNERS)
def test_no_right_is_given_on_everything(owner: str) -> None:
    for one in statements(owner):
        assert one["Sid"]
        assert not any("*" in action for action in listed(one["Action"])), one["Sid"]
        if one["Action"] != "lambda:GetAccountSettings":
            assert "*" not in listed(one["Resource"]), one["Sid"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_holds_no_right_but_to_read_to_write_and_to_report(name: str) -> None:
    assert set(actions(f"{name}Role")) == {
        "Allow s3:GetObject",
        "Allow s3:PutObject",
        "Allow s3:AbortMultipartUpload",
        "Deny s3:PutObject",
        "Allow kms:Decrypt",
        "Allow kms:GenerateDataKey",
        "Allow lambda:InvokeFunction",
        "Allow logs:CreateLogStream",
        "Allow logs:PutLogEvents",
    }
    invoked = [one["Resource"] for one in statements(f"{name}Role") if one["Action"] == "lambda:InvokeFunction"]
    assert invoked == [{"Fn::Sub": "${RecordFunction.Arn}:*"}]


def test_who_reads_or_writes_buckets_of_others_may_use_the_keys_that_encrypt_them_and_no_other() -> None:
    assert TEMPLATE["Parameters"]["DataKmsKeyArns"]["Default"] == ""
    for owner in OWNERS:
        keys = {"UseKey": "KmsKeyArn", "UseDataKeys": "DataKmsKeyArns", "ReadInputsWithDataKeys": "DataKmsKeyArns"}
        found = {one["Sid"]: one for one in statements(owner) if "kms:" in str(one["Action"])}
        assert {sid: one["Resource"]["Ref"] for sid, one in found.items()} == {sid: keys[sid] for sid in found}
        workers = owner in ("TickRole", "MapRole", "ReduceRole")
        expected = {"UseKey", "UseDataKeys"} if workers else {"UseKey", "ReadInputsWithDataKeys"}
        assert found.keys() == (expected if workers or owner == "SubmitPolicy" else set()), owner
        for sid, one in found.items():
            reads = sid == "ReadInputsWithDataKeys"
            assert one["Action"] == ("kms:Decrypt" if reads else ["kms:Decrypt", "kms:GenerateDataKey"])
            ours = {"StringEquals": {"kms:ViaService": {"Fn::Sub": "s3.${AWS::Region}.amazonaws.com"}}}
            of_others = {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}  # a bucket may be in any region
            assert one["Condition"] == (ours if sid == "UseKey" else of_others), (owner, sid)


def test_people_start_executions_and_look_at_those_of_jobs_that_they_know() -> None:
    states = {action for action in actions("SubmitPolicy") if "states:" in action}
    assert states == {f"Allow states:{one}" for one in ("StartExecution", "DescribeStateMachine", "DescribeExecution")}


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_uploads_parts_and_makes_none_of_them_an_object(name: str) -> None:
    denied = {one["Sid"]: one for one in statements(f"{name}Role") if one["Effect"] == "Deny"}
    assert denied["NeverCommit"]["Resource"] == ["arn:aws:s3:::*_SUCCESS", "arn:aws:s3:::*_COMMITTING"]
    assert "Condition" not in denied["NeverCommit"]
    assert denied["NeverComplete"]["Resource"] == "arn:aws:s3:::*part-?????"
    assert denied["NeverComplete"]["Condition"] == {"Bool": {"s3:ObjectCreationOperation": "true"}}


def test_no_output_is_called_like_a_resource_or_a_parameter() -> None:
    """SAM's local resolver takes an output's name for the other thing, and breaks."""
    assert not set(TEMPLATE["Outputs"]) & (set(RESOURCES) | set(TEMPLATE["Parameters"]))


def test_every_function_has_a_handler_in_the_package() -> None:
    for one in RESOURCES.values():
        if one["Type"] == "AWS::Serverless::Function":
            module, function = one["Properties"]["Handler"].split(".")
            text = (ROOT / "lambdas" / f"{module}.py").read_text(encoding="utf-8")
            assert re.search(rf"\b{function}\b", text)
