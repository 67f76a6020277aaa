"""Replace resources that moto's CloudFormation lacks or creates in another way than AWS.

A state machine goes to the backend that executes it. A bucket keeps its lifecycle. Policies of buckets and queues are
kept here, where the harness evaluates them. Lambda's resources are in `lambda_resources`.
"""

import json
from typing import Any, Final, Self

from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.iam.models import Role
from moto.logs.models import LogGroup
from moto.s3.models import FakeBucket, s3_backends

from tests.deployed.harness.constants import ACCOUNT, PARTITION
from tests.deployed.harness.created_resource import CreatedResource

BUCKET_POLICIES: Final[dict[str, str]] = {}  # not in moto: moto would deny what a condition allows
QUEUE_POLICIES: Final[dict[str, str]] = {}  # by queue URL


def register() -> None:
    """Make moto's CloudFormation use every imported model, of this module and of `lambda_resources`."""
    for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cached.cache_clear()
    LogGroup.get_cfn_attribute = lambda group, _name: f"{group.arn}:*"  # as on AWS; moto omits the end


class StateMachineResource(CreatedResource, CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::StepFunctions::StateMachine"

    @classmethod
    def create_from_cloudformation_json(cls, name: str, made_of: Any, account: str, region: str, **_: Any) -> Self:
        properties = made_of["Properties"]
        name = properties.get("StateMachineName", name)  # moto looks it up under another name
        made = _executing(account, region).create_state_machine(
            name=name, definition=_definition(properties), roleArn=properties["RoleArn"]
        )
        return cls(made.arn, Arn=made.arn, Name=name)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Self, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Self:
        properties = cloudformation_json["Properties"]
        _executing(account_id, region_name).update_state_machine(
            original_resource.physical_resource_id,
            definition=_definition(properties),
            role_arn=properties["RoleArn"],
        )
        return original_resource

    def delete(self, account: str, region: str) -> None:
        _executing(account, region).delete_state_machine(self.physical_resource_id)


def _executing(account: str, region: str) -> Any:
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    return stepfunctions_parser_backends[account][region]


def _definition(properties: dict[str, Any]) -> str:
    definition = str(properties["DefinitionString"])
    for name, value in properties.get("DefinitionSubstitutions", {}).items():
        definition = definition.replace("${" + name + "}", str(value))
    return definition


class BucketResource(CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_name_type() -> str:
        return "BucketName"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::S3::Bucket"

    @classmethod
    def has_cfn_attr(cls, attribute: str) -> bool:
        return bool(FakeBucket.has_cfn_attr(attribute))

    @classmethod
    def create_from_cloudformation_json(
        cls, name: str, made_of: Any, account: str, region: str, **_: Any
    ) -> FakeBucket:
        bucket = FakeBucket.create_from_cloudformation_json(name, made_of, account, region)
        bucket.set_lifecycle(_lifecycle(made_of["Properties"]))
        return bucket

    @classmethod
    def delete_from_cloudformation_json(cls, name: str, made_of: Any, account: str, region: str) -> None:
        FakeBucket.delete_from_cloudformation_json(name, made_of, account, region)


def _lifecycle(properties: dict[str, Any]) -> list[dict[str, Any]]:
    rules = []
    for given in properties.get("LifecycleConfiguration", {}).get("Rules", []):
        rule = {"ID": given.get("Id"), "Status": given["Status"], "Filter": {"Prefix": given.get("Prefix", "")}}
        if "ExpirationInDays" in given:
            rule["Expiration"] = {"Days": given["ExpirationInDays"]}
        if "AbortIncompleteMultipartUpload" in given:
            rule["AbortIncompleteMultipartUpload"] = given["AbortIncompleteMultipartUpload"]
        rules.append(rule)
    return rules


class BucketPolicyResource(CreatedResource, CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::S3::BucketPolicy"

    @classmethod
    def create_from_cloudformation_json(cls, _name: str, made_of: Any, *_: str, **__: Any) -> Self:
        properties = made_of["Properties"]
        BUCKET_POLICIES[properties["Bucket"]] = json.dumps(properties["PolicyDocument"])
        return cls(properties["Bucket"])

    def delete(self, *_: str) -> None:
        BUCKET_POLICIES.pop(self.physical_resource_id, None)


class QueuePolicyResource(CreatedResource, CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def create_from_cloudformation_json(cls, name: str, made_of: Any, *_: str, **__: Any) -> Self:
        properties = made_of["Properties"]
        QUEUE_POLICIES.update(dict.fromkeys(properties["Queues"], json.dumps(properties["PolicyDocument"])))
        return cls(name)

    def delete(self, *_: str) -> None:
        """Do nothing: it is deleted with its queues."""


class RoleResource(CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_name_type() -> str:
        return "RoleName"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::IAM::Role"

    @classmethod
    def has_cfn_attr(cls, attribute: str) -> bool:
        return bool(Role.has_cfn_attr(attribute))

    @classmethod
    def create_from_cloudformation_json(cls, name: str, made_of: Any, account: str, region: str, **_: Any) -> Role:
        return Role.create_from_cloudformation_json(name, made_of, account, region)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: Role, cloudformation_json: Any, **_: Any) -> Role:
        original_resource.policies = {
            policy["PolicyName"]: json.dumps(policy["PolicyDocument"])
            for policy in cloudformation_json["Properties"].get("Policies", [])
        }
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(cls, name: str, made_of: Any, account: str, region: str) -> None:
        Role.delete_from_cloudformation_json(name, made_of, account, region)


class AlarmResource(CreatedResource, CloudFormationModel):  # type: ignore[misc]
    """Only its name is kept: nothing is measured here."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CloudWatch::Alarm"

    @classmethod
    def create_from_cloudformation_json(cls, name: str, *_: Any, **__: Any) -> Self:
        return cls(name)

    def delete(self, *_: str) -> None:
        """Do nothing."""


def encryption_key(bucket: str) -> str | None:
    """Return the KMS key that encrypts new objects of a bucket, if it has one."""
    found = s3_backends[ACCOUNT][PARTITION].buckets.get(bucket)
    if found is None or found.encryption is None:
        return None
    default = found.encryption["Rule"]["ApplyServerSideEncryptionByDefault"]
    return default.get("KMSMasterKeyID") if default["SSEAlgorithm"] == "aws:kms" else None
