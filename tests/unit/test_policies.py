"""The template's policies pass two linters: cfn-lint knows AWS's actions, cfripper the risks.

Both read what `sam deploy` would send: cfn-lint does not check actions in an untransformed template.
"""

import json
import warnings
from typing import Any

import pycfmodel
import pytest
from cfnlint.api import ManualArgs, lint
from cfripper.config.config import Config
from cfripper.rule_processor import RuleProcessor
from cfripper.rules import DEFAULT_RULES
from pydantic import PydanticDeprecatedSince20

from tests.deployed.harness.constants import REGION, ROOT
from tests.unit.policies import Template, policies_of

_ARN_WITH_PARTITION = "I3042"  # an ARN with its partition, as references are resolved here

Statement = dict[str, Any]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return policies_of(ROOT / "template.yaml", tmp_path_factory.mktemp("policies"))


def cfn_lint(policies: Template) -> set[tuple[str, str]]:
    """Return cfn-lint's findings: rules, and the owners of the policies."""
    arguments = ManualArgs(include_checks=["I"], ignore_checks=[_ARN_WITH_PARTITION], regions=[REGION])
    return {(one.rule.id, str((one.path or ["", ""])[1])) for one in lint(json.dumps(policies), config=arguments)}


def cfripper(policies: Template) -> set[tuple[str, str]]:
    """Return cfripper's findings in the same way."""
    config = Config(rules=list(DEFAULT_RULES))
    rules = [rule(config) for rule in DEFAULT_RULES.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticDeprecatedSince20)  # a rule of cfripper's own
        result = RuleProcessor(*rules).process_cf_template(pycfmodel.parse(policies).resolve({}), config)
    assert not result.exceptions
    return {(one.rule, name) for one in result.failures for name in one.resource_ids or ("",)}


def changed(policies: Template, owner: str, sid: str, change: Statement) -> Template:
    """Return one owner's policies after a change of one statement."""
    own = {name: one for name, one in policies["Resources"].items() if name.startswith(owner)}
    copy: Template = json.loads(json.dumps({**policies, "Resources": own}))
    for one in copy["Resources"].values():
        properties = one["Properties"]
        for policy in properties.get("Policies", [properties]):
            for statement in policy["PolicyDocument"]["Statement"]:
                if statement["Sid"] == sid:
                    statement.update(change)
    return copy


def test_the_policies_pass_the_linters(policies: Template) -> None:
    assert cfn_lint(policies) | cfripper(policies) == set()


def test_the_linters_check_every_statement_with_resolved_references(policies: Template) -> None:
    text = json.dumps(policies)
    assert not [word for word in ("Fn::", '"Ref"', "${") if word in text]
    statements = [
        statement["Sid"]
        for one in policies["Resources"].values()
        if one["Type"] == "AWS::IAM::Policy"
        for statement in one["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert {"CommitToOutputs", "ReadInputs", "UploadParts", "NeverCommit", "Manifests", "Release"} <= set(statements)
    assert "arn:aws:s3:::more-results/*/part-?????" in text


@pytest.mark.parametrize(
    ("owner", "sid", "change", "rule"),
    [
        ("TickRole", "Sweep", {"Action": "s3:DeleteObjekt"}, "W3037"),
        ("SubmitPolicy", "PinVersions", {"Action": "lamda:GetAlias"}, "W3037"),
        ("TickRole", "Jobs", {"Resource": "arn:aws:s3:::bucket"}, "I3510"),
        ("MapRole", "Report", {"Effect": "allow"}, "E3510"),
        ("MapRole", "Report", {"Action": "*"}, "GenericResourceWildcardPolicyRule"),
        ("RecordRole", "Manifests", {"Action": "dynamodb:*"}, "GenericResourceWildcardPolicyRule"),
        ("JobsRole", "Tick", {"Action": "iam:CreatePolicyVersion"}, "PrivilegeEscalationRule"),
        ("SubmitPolicy", "Clean", {"Action": "iam:PutRolePolicy"}, "PrivilegeEscalationRule"),
        ("TickRole", "ReadPlan", {"Resource": "*"}, "WildcardResourceRule"),
    ],
)
def test_a_mistake_in_one_statement_is_found(
    policies: Template, owner: str, sid: str, change: Statement, rule: str
) -> None:
    linter = cfripper if rule.endswith("Rule") else cfn_lint
    findings = linter(changed(policies, owner, sid, change))
    assert rule in {one for one, _ in findings}, findings
    assert all(name.startswith(owner) for _, name in findings), findings


def test_a_public_bucket_policy_is_found() -> None:
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"}
    document = {"Version": "2012-10-17", "Statement": [everybody]}
    policy = {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": "bucket", "PolicyDocument": document}}
    assert ("FullWildcardPrincipalRule", "BucketPolicy") in cfripper({"Resources": {"BucketPolicy": policy}})
