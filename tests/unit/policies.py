"""The template's policies as IAM would get them: transformed, with every condition met and every reference resolved."""

import json
import re
from pathlib import Path
from typing import Any, Final

from samtranslator.yaml_helper import yaml_parse

from tests.deployed.harness.constants import ACCOUNT, REGION, ROOT
from tests.deployed.harness.transforming import transform

Template = dict[str, Any]

_KINDS: Final = ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy")
_HERE: Final = f"{REGION}:{ACCOUNT}"
_ARNS: Final = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{_HERE}:table/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{_HERE}:function:{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{_HERE}:log-group:{{}}:*",
    "AWS::Events::Rule": f"arn:aws:events:{_HERE}:rule/{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{_HERE}:{{}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{_HERE}:stateMachine:{{}}",
}
_GIVEN: Final[
    dict[str, str | list[str]]
] = {  # every parameter that decides whether a statement exists, or what it names
    "InputBuckets": ["logs", "more-logs"],
    "OutputBuckets": ["results", "more-results"],
    "KmsKeyArn": f"arn:aws:kms:{_HERE}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "DataKmsKeyArns": [f"arn:aws:kms:{_HERE}:key/5678abcd-12ab-34cd-56ef-1234567890ab"],
    "AlarmTopicArn": f"arn:aws:sns:{_HERE}:alarms",
}
_PSEUDO: Final = {
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::AccountId": ACCOUNT,
    "AWS::StackName": "s3mr",
}


def policies_of(template: Path, scratch: Path) -> Template:
    """Return a template with only roles and policies, each inline policy also as a resource of its own."""
    plain = transform(_built(template, scratch), _parameters(), "s3mr", lambda _folder: "s3://packages/functions")
    references = _References(plain["Resources"])
    kept = {name: references.resolve(one) for name, one in plain["Resources"].items() if one["Type"] in _KINDS}
    inline = {
        f"{name}{number}": {"Type": "AWS::IAM::Policy", "Properties": {**policy, "Roles": [name.lower()]}}
        for name, one in kept.items()
        for number, policy in enumerate(one["Properties"].get("Policies", []))
    }
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {**kept, **inline}}


def _built(template: Path, scratch: Path) -> Path:
    """Write the template as `sam build` does: each function has the path of its code."""
    read = yaml_parse(template.read_text(encoding="utf-8"))
    code = read["Globals"]["Function"].pop("CodeUri")
    for resource in read["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = code
    built = scratch / "built.json"
    built.write_text(json.dumps(read), encoding="utf-8")
    return built


def _parameters() -> dict[str, str]:
    declared = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))["Parameters"]
    given = {name: ",".join(value) if isinstance(value, list) else value for name, value in _GIVEN.items()}
    return {name: value for name, value in given.items() if name in declared}


class _References:
    """Resolves CloudFormation's functions."""

    def __init__(self, resources: Template) -> None:
        self._resources = resources

    def resolve(self, node: Any) -> Any:
        if isinstance(node, list):
            resolved = [self.resolve(one) for one in node]
            return [one for each in resolved for one in (each if isinstance(each, list) else [each])]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, given),) = node.items()
            if function == "Ref":
                return self._ref(given)
            if function.startswith("Fn::"):
                return self._called(function, given)
        return {key: self.resolve(value) for key, value in node.items()}

    def _called(self, function: str, given: Any) -> Any:
        if function == "Fn::GetAtt":
            name, attribute = given if isinstance(given, list) else given.split(".")
            assert attribute == "Arn", given
            return _ARNS[self._resources[name]["Type"]].format(name.lower())
        if function == "Fn::Join":
            return given[0].join(self.resolve(given[1]))
        if function == "Fn::Split":
            return self.resolve(given[1]).split(given[0])
        assert function == "Fn::Sub", function
        text, variables = given if isinstance(given, list) else (given, {})
        known = self.resolve(variables)
        return re.sub(r"\$\{([\w.:]+)\}", lambda found: known.get(found[1]) or self._named(found[1]), text)

    def _named(self, name: str) -> str:
        resolved = self._called("Fn::GetAtt", name) if "." in name else self._ref(name)
        assert isinstance(resolved, str), name
        return resolved

    def _ref(self, name: str) -> str | list[str]:
        if name in _PSEUDO or name in _GIVEN:
            return _PSEUDO.get(name) or _GIVEN[name]
        kind = self._resources[name]["Type"]
        return _ARNS[kind].format(name.lower()) if kind == "AWS::StepFunctions::StateMachine" else name.lower()
