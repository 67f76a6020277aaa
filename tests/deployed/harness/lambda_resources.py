"""Lambda's resources for CloudFormation to create, update and delete: kept in our own `Functions`, not in moto."""

import contextlib
from typing import Any, Final, Self

from moto.core.common_models import CloudFormationModel

from tests.deployed.harness.created_resource import CreatedResource
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

FUNCTIONS: Final = Functions()


class FunctionResource(CreatedResource, CloudFormationModel):  # type: ignore[misc]
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
        function.reserved = _reserved(properties)
        FUNCTIONS.add(function)
        return cls(name, Arn=function.arn)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: Self, cloudformation_json: Any, **_: Any) -> Self:
        function, _qualifier = FUNCTIONS.find(original_resource.physical_resource_id)
        function.latest = _latest(function.name, cloudformation_json["Properties"])
        function.reserved = _reserved(cloudformation_json["Properties"])
        return original_resource

    def delete(self, *_: str) -> None:
        FUNCTIONS.remove(self.physical_resource_id)


def _reserved(properties: dict[str, Any]) -> int | None:
    given = properties.get("ReservedConcurrentExecutions")
    return None if given is None else int(given)


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


class VersionResource(CreatedResource, CloudFormationModel):  # type: ignore[misc]
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


class AliasResource(CreatedResource, CloudFormationModel):  # type: ignore[misc]
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
        """Do nothing: it is deleted with its function."""


class InvokeConfigResource(CreatedResource, CloudFormationModel):  # type: ignore[misc]
    """A change of FunctionName or Qualifier replaces it; the replaced one may be retained."""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def create_from_cloudformation_json(cls, _name: str, made_of: Any, *_: str, **__: Any) -> Self:
        properties = made_of["Properties"]
        function, _qualifier = FUNCTIONS.find(properties["FunctionName"])
        qualifier = str(properties["Qualifier"])
        function.version(qualifier)  # as on AWS: it must exist
        destinations = properties.get("DestinationConfig", {})
        function.invoke_configs[qualifier] = InvokeConfig(
            retries_max=int(properties.get("MaximumRetryAttempts", RETRIES_DEFAULT)),
            event_age_s_max=int(properties.get("MaximumEventAgeInSeconds", EVENT_AGE_S_DEFAULT)),
            on_success=destinations.get("OnSuccess", {}).get("Destination"),
            on_failure=destinations.get("OnFailure", {}).get("Destination"),
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
