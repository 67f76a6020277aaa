"""Resources that moto's CloudFormation lacks, or makes in another way than AWS: registered in their place.

Lambda's go to our own `Functions`; a state machine to the backend that executes; a bucket keeps its lifecycle.
"""

import contextlib
import json
from typing import Any, Final, Self

from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.iam.models import Role
from moto.logs.models import LogGroup
from moto.s3.models import FakeBucket, s3_backends

from tests.deployed.harness.functions import (
    EVENT_AGE_S_DEFAULT,
    LATEST,
    RETRIES_DEFAULT,
    Function,
    Functions,
    InvokeConfig,
    NoSuchFunction,
    Version,
)
from tests.deployed.harness.place import ACCOUNT, PARTITION

FUNCTIONS: Final = Functions()
BUCKET_POLICIES: Final[dict[str, str]] = {}  # not moto's: it denies what a condition would not


def register() -> None:
    """Have moto's CloudFormation use what is in this module."""
    for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cached.cache_clear()
    LogGroup.get_cfn_attribute = lambda group, _name: f"{group.arn}:*"  # as AWS; moto leaves out the end


class Made:
    """What a template may ask of a resource: Ref, and GetAtt."""

    def __init__(self, physical_id: str, **attributes: str) -> None:
        self.physical_resource_id = physical_id
        self._attributes = attributes

    def get_cfn_attribute(self, name: str) -> str:
        return self._attributes[name]

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def has_cfn_attr(cls, _attribute: str) -> bool:
        return True

    def is_created(self) -> bool:
        return True


class FunctionResource(Made, CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_name_type() -> str:
        return "FunctionName"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::Function"

    @classmethod
    def create_from_cloudformation_json(cls, name: str, made_of: Any, *_: str, **__: Any) -> Self:
        properties = made_of["Properties"]
        function = Function(name, _latest(name, properties))
        function.reserved = properties.get("ReservedConcurrentExecutions")
        FUNCTIONS.add(function)
        return cls(name, Arn=function.arn)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: Self, cloudformation_json: Any, **_: Any) -> Self:
        function, _qualifier = FUNCTIONS.find(original_resource.physical_resource_id)
        function.latest = _latest(function.name, cloudformation_json["Properties"])
        function.reserved = cloudformation_json["Properties"].get("ReservedConcurrentExecutions")
        return original_resource

    def delete(self, *_: str) -> None:
        FUNCTIONS.remove(self.physical_resource_id)


def _latest(name: str, properties: dict[str, Any]) -> Version:
    code_sha = properties["Code"]["S3Key"]
    logging = properties.get("LoggingConfig", {})
    return Version(
        function=name,
        number=LATEST,
        handler=properties["Handler"],
        runtime=properties["Runtime"],
        architecture=properties.get("Architectures", ["x86_64"])[0],
        role=properties["Role"],
        memory_mb=int(properties.get("MemorySize", 128)),
        timeout_s=int(properties.get("Timeout", 3)),
        package=FUNCTIONS.packages[code_sha],
        code_sha=code_sha,
        environment={key: str(value) for key, value in properties.get("Environment", {}).get("Variables", {}).items()},
        log_group=logging.get("LogGroup", f"/aws/lambda/{name}"),
        log_format=logging.get("LogFormat", "Text"),
        dead_letters=properties.get("DeadLetterConfig", {}).get("TargetArn"),
    )


class VersionResource(Made, CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::Version"

    @classmethod
    def create_from_cloudformation_json(cls, _name: str, made_of: Any, *_: str, **__: Any) -> Self:
        version = FUNCTIONS.find(made_of["Properties"]["FunctionName"])[0].publish()
        return cls(version.arn, Version=version.number)

    @classmethod
    def delete_from_cloudformation_json(cls, name: str, made_of: Any, *_: str) -> None:
        if made_of.get("DeletionPolicy") != "Retain":
            function, number = FUNCTIONS.find(name)
            function.versions.pop(number)


class AliasResource(Made, CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::Alias"

    @classmethod
    def create_from_cloudformation_json(cls, _name: str, made_of: Any, *_: str, **__: Any) -> Self:
        properties = made_of["Properties"]
        function, _qualifier = FUNCTIONS.find(properties["FunctionName"])
        function.aliases[properties["Name"]] = properties["FunctionVersion"]
        return cls(f"{function.arn}:{properties['Name']}")

    @classmethod
    def update_from_cloudformation_json(cls, cloudformation_json: Any, **_: Any) -> Self:
        return cls.create_from_cloudformation_json("", cloudformation_json)

    def delete(self, *_: str) -> None:
        """Gone with its function."""


class InvokeConfigResource(Made, CloudFormationModel):  # type: ignore[misc]
    """Its properties that name it, FunctionName and Qualifier, replace it; what is replaced may be retained."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def create_from_cloudformation_json(cls, _name: str, made_of: Any, *_: str, **__: Any) -> Self:
        properties = made_of["Properties"]
        function, _qualifier = FUNCTIONS.find(properties["FunctionName"])
        qualifier = str(properties["Qualifier"])
        function.version(qualifier)  # as AWS: it must exist
        told = properties.get("DestinationConfig", {})
        function.invoke_configs[qualifier] = InvokeConfig(
            retries_max=int(properties.get("MaximumRetryAttempts", RETRIES_DEFAULT)),
            event_age_s_max=int(properties.get("MaximumEventAgeInSeconds", EVENT_AGE_S_DEFAULT)),
            on_success=told.get("OnSuccess", {}).get("Destination"),
            on_failure=told.get("OnFailure", {}).get("Destination"),
        )
        return cls(f"{function.name}|{qualifier}")

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: Self, cloudformation_json: Any, **_: Any) -> Self:
        changed = cls.create_from_cloudformation_json("", cloudformation_json)
        replaced = changed.physical_resource_id != original_resource.physical_resource_id
        if replaced and cloudformation_json.get("UpdateReplacePolicy") != "Retain":
            original_resource.delete()
        return changed

    def delete(self, *_: str) -> None:
        name, qualifier = self.physical_resource_id.split("|")
        with contextlib.suppress(NoSuchFunction):
            FUNCTIONS.find(name)[0].invoke_configs.pop(qualifier, None)


class StateMachineResource(Made, CloudFormationModel):  # type: ignore[misc]
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::StepFunctions::StateMachine"

    @classmethod
    def create_from_cloudformation_json(cls, name: str, made_of: Any, account: str, region: str, **_: Any) -> Self:
        properties = made_of["Properties"]
        name = properties.get("StateMachineName", name)  # which moto looks for under another name
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


class BucketPolicyResource(Made, CloudFormationModel):  # type: ignore[misc]
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


class AlarmResource(Made, CloudFormationModel):  # type: ignore[misc]
    """Kept for its name alone: nothing measures here."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CloudWatch::Alarm"

    @classmethod
    def create_from_cloudformation_json(cls, name: str, *_: Any, **__: Any) -> Self:
        return cls(name)

    def delete(self, *_: str) -> None:
        """Nothing is to be done."""


def encryption_key(bucket: str) -> str | None:
    """The KMS key that encrypts what is put into a bucket, if one does."""
    found = s3_backends[ACCOUNT][PARTITION].buckets.get(bucket)
    if found is None or found.encryption is None:
        return None
    default = found.encryption["Rule"]["ApplyServerSideEncryptionByDefault"]
    return default.get("KMSMasterKeyID") if default["SSEAlgorithm"] == "aws:kms" else None
