"""What the template says: its parameters, and what each role may do."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from docs.generate.blocks import ROOT
from docs.generate.tables import escaped, table

_ROLES: Final = {  # in the order of a job's life
    "SubmitPolicy": "people who submit (`SubmitPolicyArn`)",
    "JobsRole": "the state machine",
    "TickRole": "tick, the coordinator",
    "MapRole": "map workers, which run your code",
    "ReduceRole": "reduce workers, which run your code",
    "RecordRole": "record, which takes reports",
    "JobsEndedRole": "the rule that releases what a lost job holds",
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """Reads the short forms of CloudFormation's functions as what they name."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.ScalarNode):
        return f"${{{node.value}}}" if suffix in {"Ref", "GetAtt"} else node.value
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_mapping(node, deep=True)} if isinstance(node, yaml.MappingNode) else None


_Loader.add_multi_constructor("!", _function)


def parameters() -> str:
    """Return the template's parameters, with their bounds."""
    rows = [
        (
            f"`{name}`",
            escaped(f"{one['Description']}{_bounds(one)}"),
            f"`{one['Default']}`" if one["Default"] != "" else "",
        )
        for name, one in _template()["Parameters"].items()
    ]
    return table(["parameter", "what it says", "default"], rows)


def roles() -> str:
    """Return a section for each role: what it may do, statement by statement."""
    resources = _template()["Resources"]
    return "\n\n".join(_role(title, resources[name]["Properties"]) for name, title in _ROLES.items())


def _template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    return loaded


def _bounds(parameter: dict[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return f" One of {', '.join(str(one) for one in parameter['AllowedValues'])}."
    if "MinValue" in parameter:
        return f" From {parameter['MinValue']:,} to {parameter['MaxValue']:,}."
    return ""


def _role(title: str, properties: dict[str, Any]) -> str:
    documents = [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
    documents += [one["PolicyDocument"] for one in properties.get("Policies", [])]
    rows = [_statement(one) for document in documents for given in document["Statement"] for one in _statements(given)]
    return f"### {title[0].upper()}{title[1:]}\n\n{table(['statement', 'actions', 'on'], rows)}"


def _statements(given: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - as YAML has it
    """Yield the statement; one that depends on a condition is the second item of an If."""
    found = given["If"][1] if "If" in given else given
    yield found


def _statement(one: dict[str, Any]) -> tuple[str, str, str]:
    name = f"{one['Sid']}{' (deny)' if one['Effect'] == 'Deny' else ''}"
    return name, "<br>".join(f"`{action}`" for action in _list(one["Action"])), "<br>".join(_resources(one["Resource"]))


def _resources(resource: Any) -> Iterator[str]:  # noqa: ANN401 - as YAML has it
    for one in _list(resource):
        if isinstance(one, dict):  # a list of buckets, made by splitting and joining
            yield from _split(one)
        else:
            yield f"`{_short(one)}`"


def _split(function: dict[str, Any]) -> Iterator[str]:
    """Yield the patterns of a list of buckets, each with the parameter in the place of the bucket."""
    text, variables = function["Split"][1]["Sub"]
    for pattern in text.replace("\\", "").split(","):
        name = pattern.partition("${")[2].partition("}")[0]
        buckets = variables[name]["Join"][1]
        yield f"`{_short(pattern.strip().replace(f'${{{name}}}', buckets))}`"


def _short(arn: str) -> str:
    """Return an ARN without what is the same in all of them."""
    short = arn.replace("arn:aws:s3:::", "").replace(".Arn}", "}")
    for prefix in ("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:",):
        short = short.replace(prefix, "")
    short = short.replace("arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:", "")
    return short.replace("${", "").replace("}", "")


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - as YAML has it
    return value if isinstance(value, list) else [value]
