"""Convert a built SAM template to plain CloudFormation, as `sam deploy` and AWS's transform do.

Conditions depend only on parameters. They are decided here, because moto leaves empty list items for unmet conditions.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from tests.deployed.harness.constants import ACCOUNT, PARTITION, REGION

NO_VALUE = {"Ref": "AWS::NoValue"}
Template = dict[str, Any]


def transform(built: Path, parameters: Mapping[str, str], stack: str, upload: Callable[[Path], str]) -> Template:
    """Transform a built template. ``upload`` takes a function's folder and returns its S3 URI."""
    template = yaml_parse(built.read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            properties = resource["Properties"]
            properties["CodeUri"] = upload(built.parent / properties["CodeUri"])
    pseudo = {
        "AWS::Region": REGION,
        "AWS::Partition": PARTITION,
        "AWS::AccountId": ACCOUNT,
        "AWS::StackName": stack,
    }
    given = {**_defaults(template), **parameters}
    plain = Translator({}, Parser(), boto_session=_session()).translate(template, {**given, **pseudo})
    return _without_conditions(plain, {**_typed(template, given), **pseudo})


def _session() -> Any:
    import boto3

    return boto3.Session(region_name=REGION)


def _defaults(template: Template) -> dict[str, Any]:
    return {name: one["Default"] for name, one in template["Parameters"].items() if "Default" in one}


def _typed(template: Template, given: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name for name, one in template["Parameters"].items() if one["Type"] == "CommaDelimitedList"}
    return {name: str(value).split(",") if name in lists else str(value) for name, value in given.items()}


def _without_conditions(template: Template, values: Mapping[str, Any]) -> Template:
    conditions = template.pop("Conditions", {})

    def met(name: str) -> bool:
        return bool(_evaluate(conditions[name], values, met))

    for section in ("Resources", "Outputs"):
        entries = template.get(section, {})
        template[section] = {
            key: one for key, one in entries.items() if "Condition" not in one or met(one["Condition"])
        }
        for one in template[section].values():
            one.pop("Condition", None)
    decided: Template = _decide(template, met)
    return decided


def _evaluate(expression: Any, values: Mapping[str, Any], met: Callable[[str], bool]) -> Any:
    """Return the value of a condition's expression."""
    if not isinstance(expression, dict):
        return expression if isinstance(expression, list) else str(expression)
    ((function, given),) = expression.items()
    if function == "Condition":
        return met(given)
    if function == "Ref":
        return values[given]
    if function == "Fn::Join":
        parts = _evaluate(given[1], values, met)
        return given[0].join(str(_evaluate(part, values, met)) for part in parts)
    terms = [_evaluate(term, values, met) for term in given]
    operators: dict[str, Callable[[list[Any]], bool]] = {
        "Fn::Equals": lambda pair: pair[0] == pair[1],
        "Fn::Not": lambda one: not one[0],
        "Fn::And": all,
        "Fn::Or": any,
    }
    return operators[function](terms)


def _decide(node: Any, met: Callable[[str], bool]) -> Any:
    """Return the template with each Fn::If decided and each AWS::NoValue removed."""
    if isinstance(node, dict):
        if "Fn::If" in node:
            name, then, otherwise = node["Fn::If"]
            return _decide(then if met(name) else otherwise, met)
        decided = {key: _decide(value, met) for key, value in node.items()}
        return {key: value for key, value in decided.items() if value != NO_VALUE}
    if isinstance(node, list):
        return [value for value in (_decide(value, met) for value in node) if value != NO_VALUE]
    return node
