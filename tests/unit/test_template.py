"""The template agrees with the code in bounds, versions and dependencies, and grants narrow permissions."""

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
    """Return the statements of a role or managed policy, including conditional ones."""
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


def test_lambdas_settings_are_those_that_leases_assume() -> None:
    for name in WORKERS:
        config = RESOURCES[f"{name}InvokeConfig"]["Properties"]
        assert config["MaximumRetryAttempts"] == 0
        assert config["MaximumEventAgeInSeconds"] == limits.EVENT_AGE_S
        assert config["DestinationConfig"]["OnSuccess"] == config["DestinationConfig"]["OnFailure"]
    longest_s = TEMPLATE["Parameters"]["WorkerTimeout"]["MaxValue"]
    assert longest_s <= limits.TASK_TIMEOUT_S
    assert RESOURCES["RecordInvokeConfig"]["Properties"]["MaximumRetryAttempts"] == 2


def test_settings_of_a_version_are_kept_when_a_deploy_publishes_another() -> None:
    for name in ("Record", *WORKERS):
        config = RESOURCES[f"{name}InvokeConfig"]
        assert config["UpdateReplacePolicy"] == "Retain"
        assert {"Ref": f"{name}Function.Version"} in config["Properties"]["Qualifier"]["Fn::Select"][1]["Fn::Split"]
    for name in ("Tick", "Record", *WORKERS):
        function = RESOURCES[f"{name}Function"]
        assert function["Properties"]["AutoPublishAliasAllProperties"] is True
        assert function["UpdateReplacePolicy"] == "Retain"
        assert "DeletionPolicy" not in function  # SAM would set it on the versions; it keeps them without


def test_a_parameter_that_changes_a_function_publishes_a_new_version() -> None:
    for name in ("Tick", "Record", *WORKERS):
        properties = {**TEMPLATE["Globals"]["Function"], **RESOURCES[f"{name}Function"]["Properties"]}
        described = set(re.findall(r"\$\{(\w+)\}", properties.pop("VersionDescription")["Fn::Sub"]))
        reserved = {"MapReservedConcurrency", "ReduceReservedConcurrency", "CoordinatorReservedConcurrency"}
        used = set(re.findall(r"'Ref': '(\w+)'", repr(properties))) & set(TEMPLATE["Parameters"])
        assert described == used - reserved, name


def test_intermediates_are_kept_longer_than_the_longest_deadline() -> None:
    rules = RESOURCES["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {rule.get("Prefix") for rule in rules} == {"jobs/", "plan/", None}
    for rule in rules:
        days = rule.get("ExpirationInDays") or rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        assert days * DAY_S == limits.INTERMEDIATES_S > limits.DEADLINE_S_MAX


def test_an_execution_hands_over_before_its_history_is_full_or_its_time_is_over() -> None:
    definition = RESOURCES["Jobs"]["Properties"]["Definition"]
    judge = definition["States"]["Judge"]["Choices"][1]
    assert judge["NumericGreaterThanEquals"] == limits.ROUNDS_MAX
    retriers = definition["States"]["Tick"]["Retry"]  # each counts its own errors, so one round may use up all
    events = 9 + 3 * sum(retrier["MaxAttempts"] for retrier in retriers)
    assert events < limits.ROUND_EVENTS_MAX
    assert limits.ROUNDS_MAX * limits.ROUND_EVENTS_MAX < limits.HISTORY_EVENTS_MAX - 1_000  # for a release
    timeout_s = RESOURCES["TickFunction"]["Properties"]["Timeout"]
    assert limits.ROUND_S + 300 < timeout_s < definition["States"]["Tick"]["TimeoutSeconds"]
    assert definition["TimeoutSeconds"] > limits.DEADLINE_S_MAX + limits.TASK_TIMEOUT_S


@pytest.mark.parametrize("state", ["Tick", "Release"])
def test_a_job_waits_for_hours_for_a_busy_or_unavailable_service(state: str) -> None:
    busy, other = RESOURCES["Jobs"]["Properties"]["Definition"]["States"][state]["Retry"]
    assert set(busy["ErrorEquals"]) == {
        "Lambda.TooManyRequestsException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.ClientExecutionTimeoutException",
        TransientError.__name__,  # the error name is the class name of the exception
    }
    assert (busy["MaxDelaySeconds"], busy["JitterStrategy"]) == (300, "FULL")
    delays_s = [
        min(busy["MaxDelaySeconds"], busy["IntervalSeconds"] * busy["BackoffRate"] ** retry)
        for retry in range(busy["MaxAttempts"])
    ]
    assert sum(delays_s) / 2 > 3 * 3600  # half of them, because of the full jitter
    assert other["ErrorEquals"] == ["States.ALL"]


def test_a_reserved_concurrency_of_zero_cannot_disable_a_function() -> None:
    """With a reserved concurrency of 0, AWS never runs a function."""
    reserved = [name for name in TEMPLATE["Parameters"] if name.endswith("ReservedConcurrency")]
    assert reserved == [f"{one}ReservedConcurrency" for one in ("Map", "Reduce", "Coordinator")]
    for name in reserved:
        parameter = TEMPLATE["Parameters"][name]
        assert parameter["Type"] == "String"  # CloudFormation checks no pattern of a number
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


def test_a_round_says_if_its_job_may_have_been_cleaned_up() -> None:
    states = RESOURCES["Jobs"]["Properties"]["Definition"]["States"]
    for name in ("Tick", "Release"):
        assert states[name]["Parameters"]["Payload"]["round.$"] == "$.answer.round"
    assert states["SayWhy"]["Parameters"]["answer.$"] == "$.answer"  # a job that never existed stays an error
    for given in (states["NameJob"]["Parameters"], states["Continue"]["Parameters"]["Input"]):
        assert given["answer"] == {"round": 1}


def test_a_release_that_cannot_be_started_is_retried_and_then_kept() -> None:
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


def test_services_assume_a_role_only_for_this_account_if_they_send_one() -> None:
    trusts = [one["Properties"] for one in RESOURCES.values() if one["Type"] == "AWS::IAM::Role"]
    conditions = {}
    for (trust,) in (one["AssumeRolePolicyDocument"]["Statement"] for one in trusts):
        conditions[trust["Principal"]["Service"]] = trust.get("Condition")
    this_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert conditions == {
        "states.amazonaws.com": this_account,
        "events.amazonaws.com": this_account,
        "lambda.amazonaws.com": None,  # it sends no account when it assumes an execution role
    }


def test_versions_agree() -> None:
    assert TEMPLATE["Outputs"]["SchemaVersion"]["Value"] == str(SCHEMA_VERSION)
    assert TEMPLATE["Outputs"]["S3mrVersion"]["Value"] == PROJECT["version"] == PACKAGE["project"]["version"]


def test_the_functions_have_the_dependencies_of_s3mr_without_those_of_the_command_line() -> None:
    functions = {line for line in PACKAGE["project"]["dependencies"] if not line.startswith("aws-lambda-powertools")}
    command_line = {line for line in PROJECT["dependencies"] if re.match(r"click|rich", line)}
    assert functions == set(PROJECT["dependencies"]) - command_line


def test_dependencies_of_the_functions_are_locked() -> None:
    pins = (ROOT / "lambdas" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert "./lambdas" in pins
    for line in PACKAGE["project"]["dependencies"]:
        name = re.match(r"[\w-]+", line)
        assert name
        assert any(pin.startswith(f"{name[0]}==") for pin in pins), f"make lock: {name[0]} is not pinned"


def test_the_package_has_all_of_s3mr_except_code_for_the_users_machine() -> None:
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
def test_no_permission_applies_to_all_resources(owner: str) -> None:
    for one in statements(owner):
        assert one["Sid"]
        assert not any("*" in action for action in listed(one["Action"])), one["Sid"]
        if one["Action"] != "lambda:GetAccountSettings":
            assert "*" not in listed(one["Resource"]), one["Sid"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_can_only_read_write_and_report(name: str) -> None:
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


def test_roles_with_access_to_declared_buckets_can_use_only_the_keys_of_those() -> None:
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


def test_people_can_start_executions_and_describe_those_of_jobs_they_know() -> None:
    states = {action for action in actions("SubmitPolicy") if "states:" in action}
    assert states == {f"Allow states:{one}" for one in ("StartExecution", "DescribeStateMachine", "DescribeExecution")}


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_can_upload_parts_but_cannot_complete_them(name: str) -> None:
    denied = {one["Sid"]: one for one in statements(f"{name}Role") if one["Effect"] == "Deny"}
    assert denied["NeverCommit"]["Resource"] == ["arn:aws:s3:::*_SUCCESS", "arn:aws:s3:::*_COMMITTING"]
    assert "Condition" not in denied["NeverCommit"]
    assert denied["NeverComplete"]["Resource"] == "arn:aws:s3:::*part-?????"
    assert denied["NeverComplete"]["Condition"] == {"Bool": {"s3:ObjectCreationOperation": "true"}}


def test_outputs_resources_and_parameters_have_distinct_names() -> None:
    """SAM's local resolver confuses an output with a resource or parameter of the same name."""
    assert not set(TEMPLATE["Outputs"]) & (set(RESOURCES) | set(TEMPLATE["Parameters"]))


def test_every_function_has_a_handler_in_the_package() -> None:
    for one in RESOURCES.values():
        if one["Type"] == "AWS::Serverless::Function":
            module, function = one["Properties"]["Handler"].split(".")
            text = (ROOT / "lambdas" / f"{module}.py").read_text(encoding="utf-8")
            assert re.search(rf"\b{function}\b", text)
