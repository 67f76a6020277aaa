"""The harness evaluates IAM policies: deny before allow, refused by default, conditions respected."""

import json
from typing import Any

import pytest

from tests.deployed.harness.policies import judge, read

OBJECT = "arn:aws:s3:::bucket/output/a/part-00000"


def allows(*statements: dict[str, Any], action: str = "s3:PutObject", resource: str = OBJECT, **context: str) -> bool:
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    given = {key.replace("__", ":").replace("_", "-"): (value,) for key, value in context.items()}
    return judge(read("policy", document), action, resource, given).allowed


def statement(effect: str = "Allow", action: object = "s3:PutObject", resource: object = OBJECT, **more: object) -> Any:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def test_an_action_that_no_statement_allows_is_refused() -> None:
    assert not allows()
    assert not allows(statement(action="s3:GetObject"))
    assert not allows(statement(resource="arn:aws:s3:::other/*"))


def test_an_explicit_deny_wins_over_every_allow() -> None:
    assert allows(statement(resource="*"))
    assert not allows(statement(resource="*"), statement("Deny", resource="arn:aws:s3:::bucket/*"))


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("arn:aws:s3:::bucket/output/*part-?????", True),
        ("arn:aws:s3:::bucket/output/part-?????", False),
        ("arn:aws:s3:::bucket/*/part-????", False),
        ("arn:aws:s3:::bucket", False),
        ("arn:aws:s3:::buckets/*", False),
        ("arn:aws:s3:::BUCKET/*", False),
    ],
)
def test_a_star_matches_any_text_and_a_question_mark_one_character(pattern: str, matches: bool) -> None:  # noqa: FBT001
    assert allows(statement(resource=pattern)) == matches


def test_action_names_ignore_case() -> None:
    assert allows(statement(action="s3:putobject"))
    assert allows(statement(action=["S3:Put*"]))
    assert not allows(statement(action="s3:PutObjectTagging"))


def test_a_statement_applies_only_if_its_condition_is_met() -> None:
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    denied = (statement(), statement("Deny", Condition=plain))
    assert allows(*denied, aws__securetransport="true")
    assert not allows(*denied, aws__securetransport="false")
    assert allows(*denied)  # the request does not say: the condition is not met

    once = {"StringEquals": {"s3:if-none-match": "*"}}
    assert allows(statement(Condition=once), s3__if_none_match="*")
    assert not allows(statement(Condition=once))
    assert allows(statement(Condition={"StringEqualsIfExists": {"s3:prefix": "a"}}))
    assert not allows(statement(Condition={"StringEqualsIfExists": {"s3:prefix": "a"}}), s3__prefix="b")


def test_an_unsupported_policy_element_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="NotAction"):
        allows({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"})
    with pytest.raises(NotImplementedError, match="NumericEquals"):
        allows(statement(Condition={"NumericEquals": {"s3:max-keys": "1"}}), s3__max_keys="1")
