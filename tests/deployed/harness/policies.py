"""Evaluate IAM policies for one action on one resource: explicit deny, then allow, else refused.

It is exact for the elements that hand-written templates use: Action, Resource, wildcards, and the condition operators
below. Anything else raises an error. moto's own evaluation ignores the resource for most services.
Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements".
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Context = Mapping[str, Sequence[str]]


@dataclass(frozen=True, order=True)
class Right:
    """One action pattern on one resource pattern of one statement of one policy."""

    policy: str
    statement: str
    action: str
    resource: str


@dataclass(frozen=True)
class Statement:
    """A statement of a policy. Its name is its Sid, or its number."""

    policy: str
    name: str
    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: str
    anyone: bool

    def rights(self) -> Iterator[Right]:
        """Return every pair of action and resource that it names."""
        for action in self.actions:
            for resource in self.resources:
                yield Right(self.policy, self.name, action, resource)

    def matching(self, action: str, resource: str, context: Context) -> tuple[Right, ...]:
        """Return the rights of this statement that match ``action`` on ``resource``."""
        matches = tuple(
            right
            for right in self.rights()
            if _like(right.action.lower()).fullmatch(action.lower()) and _like(right.resource).fullmatch(resource)
        )
        return matches if matches and _holds(self.condition, context) else ()


@dataclass(frozen=True)
class Judgement:
    """Whether an action is allowed, with the rights that allow or deny it."""

    allowed: bool
    rights: tuple[Right, ...]


def judge(statements: Iterable[Statement], action: str, resource: str, context: Context) -> Judgement:
    """Evaluate all policies that apply to a caller."""
    allowing: tuple[Right, ...] = ()
    denying: tuple[Right, ...] = ()
    for statement in statements:
        rights = statement.matching(action, resource, context)
        if statement.allows:
            allowing += rights
        else:
            denying += rights
    if denying:
        return Judgement(allowed=False, rights=denying)
    return Judgement(allowed=bool(allowing), rights=allowing)


@lru_cache(maxsize=1_000)
def read(policy: str, document: str) -> tuple[Statement, ...]:
    """Read a policy document.

    Raises:
        NotImplementedError: it uses an element that is not supported here.
    """
    statements = json.loads(document)["Statement"]
    listed = statements if isinstance(statements, list) else [statements]
    return tuple(_statement(policy, number, given) for number, given in enumerate(listed))


def _statement(policy: str, number: int, given: Mapping[str, Any]) -> Statement:
    known = {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}
    if unknown := given.keys() - known:
        raise NotImplementedError(f"{policy}: {sorted(unknown)} of a statement is not supported here")
    resources = _texts(given.get("Resource", ()))
    if any("${" in resource for resource in resources):
        raise NotImplementedError(f"{policy}: policy variables are not supported here")
    return Statement(
        policy=policy,
        name=given.get("Sid", f"#{number}"),
        allows={"Allow": True, "Deny": False}[given["Effect"]],
        actions=_texts(given.get("Action", ())),
        resources=resources,
        condition=json.dumps(given.get("Condition", {}), sort_keys=True),
        anyone=given.get("Principal") in ("*", {"AWS": "*"}),
    )


def _texts(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


@lru_cache(maxsize=10_000)
def _like(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern), re.DOTALL)


def _arn_like(pattern: str, value: str) -> bool:
    parts, values = pattern.split(":", 5), value.split(":", 5)
    return len(parts) == len(values) and all(
        _like(part).fullmatch(given) is not None for part, given in zip(parts, values, strict=True)
    )


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, given: wanted == given,
    "StringNotEquals": lambda wanted, given: wanted != given,
    "StringLike": lambda wanted, given: _like(wanted).fullmatch(given) is not None,
    "StringNotLike": lambda wanted, given: _like(wanted).fullmatch(given) is None,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": lambda wanted, given: wanted.lower() == given.lower(),
}


def _holds(condition: str, context: Context) -> bool:
    return all(
        _key_holds(operator, wanted if isinstance(wanted, list) else [wanted], context.get(key.lower()))
        for operator, keys in json.loads(condition).items()
        for key, wanted in keys.items()
    )


def _key_holds(operator: str, wanted: Sequence[Any], given: Sequence[str] | None) -> bool:
    quantifier, _, name = operator.rpartition(":")
    plain = name.removesuffix("IfExists")
    if plain == "Null":
        return (given is None) == (str(wanted[0]).lower() == "true")
    if plain not in _OPERATORS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise NotImplementedError(f"condition operator {operator} is not supported here")
    negated = "Not" in plain
    if given is None:  # absent: only negations, IfExists and ForAllValues are met
        return negated or plain != name or quantifier == "ForAllValues"
    texts = [str(text).lower() if isinstance(text, bool) else str(text) for text in wanted]
    matches = (_one_holds(plain, texts, value, negated=negated) for value in given)
    return any(matches) if quantifier == "ForAnyValue" else all(matches)


def _one_holds(operator: str, wanted: Sequence[str], given: str, *, negated: bool) -> bool:
    outcomes = (_OPERATORS[operator](text, given) for text in wanted)
    return all(outcomes) if negated else any(outcomes)
