"""Stacks of the template in a cloud: create, update and delete them as `sam deploy` and `sam delete` do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.deployed.harness.building import package
from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.constants import ARCHITECTURE, RUNTIME
from tests.deployed.harness.lambda_resources import FUNCTIONS
from tests.deployed.harness.transforming import Template, transform

ARTIFACTS: Final = "artifacts"
HERE: Final = {"Architecture": ARCHITECTURE, "Runtime": RUNTIME}


@dataclass
class Stack:
    """A deployed stack."""

    cloud: Cloud
    name: str
    template: Template
    parameters: Mapping[str, str]

    @property
    def outputs(self) -> dict[str, str]:
        described = self.cloud.administrators("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def resource(self, logical_id: str) -> str:
        """Return the physical ID of a resource."""
        cloudformation = self.cloud.administrators("cloudformation")
        found = cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def update(self, built: Path) -> None:
        """Deploy again. Functions change before their new versions are published; moto would publish too early."""
        new = _transformed(built, self.name, self.parameters)
        functions = {name: new["Resources"][name] for name in _functions(self.template) & _functions(new)}
        between = {**self.template, "Resources": {**self.template["Resources"], **functions}}
        for template in (between, new):
            request = _request(self.name, template, self.parameters)
            self.cloud.administrators("cloudformation").update_stack(**request)
        self.template = new

    def delete(self) -> None:
        """Empty the bucket, then delete the stack."""
        bucket = self.resource("Bucket")
        s3 = self.cloud.administrators("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=found["Key"])
        self.cloud.administrators("cloudformation").delete_stack(StackName=self.name)


def deploy(cloud: Cloud, built: Path, name: str, **parameters: str) -> Stack:
    """Create a stack of a built template."""
    template = _transformed(built, name, parameters)
    cloud.administrators("cloudformation").create_stack(**_request(name, template, parameters))
    return Stack(cloud, name, template, parameters)


def _functions(template: Template) -> set[str]:
    return {name for name, one in template["Resources"].items() if one["Type"] == "AWS::Lambda::Function"}


def _transformed(built: Path, name: str, parameters: Mapping[str, str]) -> Template:
    return transform(built, {**HERE, **parameters}, name, _upload)


def _upload(folder: Path) -> str:
    sha, kept = package(folder)
    FUNCTIONS.packages[sha] = kept
    return f"s3://{ARTIFACTS}/{sha}"


def _request(name: str, template: Template, parameters: Mapping[str, str]) -> dict[str, Any]:
    given = {**HERE, **parameters}
    return {
        "StackName": name,
        "TemplateBody": json.dumps(template),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
