"""Buckets and objects that cannot be used as they are: refused during planning, by name, with advice."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from s3mr.adapters.aws.s3_inputs import S3Inputs
from s3mr.adapters.aws.s3_output import S3Output
from s3mr.errors import InvariantError, RequestError

DAY_S = 24 * 3600.0
EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)


def error(code: str, status: int, operation: str = "AnyOperation") -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


class GuardedClient:
    """A client of a bucket whose owner refuses some operations and whose listing reports some objects as restored.

    moto does not support Requester Pays, ExpectedBucketOwner, or restores in a listing.
    """

    def __init__(
        self,
        client: S3Client,
        *,
        denied: str = "",
        pays: bool = False,
        owner: str = "",
        restored: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self._client = client
        self._denied = denied
        self._pays = pays
        self._owner = owner
        self._restored = restored or {}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if not callable(real) or name in ("get_paginator", "exceptions"):
            return real
        return lambda **arguments: self._answer(name, real, arguments)

    def get_paginator(self, name: str) -> "Pages":
        return Pages(self, name)

    def _answer(self, name: str, real: Any, arguments: dict[str, Any]) -> Any:
        self.asked.append((name, arguments))
        unpaid = self._pays and arguments.get("RequestPayer") != "requester"
        foreign = self._owner and arguments.get("ExpectedBucketOwner", self._owner) != self._owner
        if name == self._denied or unpaid or foreign:
            raise error("AccessDenied", 403, name.title().replace("_", ""))
        answer = real(**arguments)
        if "RestoreStatus" in arguments.get("OptionalObjectAttributes", []):
            for each in answer.get("Contents", []):
                each.update({"RestoreStatus": self._restored[each["Key"]]} if each["Key"] in self._restored else {})
        return answer


class Pages:
    """One page, filtered by the guard."""

    def __init__(self, client: GuardedClient, name: str) -> None:
        self._ask = getattr(client, name)

    def paginate(self, **arguments: Any) -> list[Any]:
        return [self._ask(**arguments)]


def inputs(client: object, *, requester_pays: bool = False) -> S3Inputs:
    return S3Inputs(cast("S3Client", client), requester_pays=requester_pays)


def put(s3: S3Client, key: str, storage_class: Any = "STANDARD", body: bytes = b"x") -> None:
    s3.put_object(Bucket="bucket", Key=key, Body=body, StorageClass=storage_class)


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("argument", ["s3://bucket/in", "s3://bucket/in/*", "s3://bucket/in/b"])
def test_archived_objects_are_refused_by_name_with_advice(s3: S3Client, storage_class: str, argument: str) -> None:
    put(s3, "in/a")
    put(s3, "in/b", storage_class)
    with pytest.raises(RequestError, match=r"1 of the inputs must be restored .*: s3://bucket/in/b\. Restore them"):
        inputs(s3).find([argument])


def test_many_archived_objects_are_counted_and_the_first_ones_named(s3: S3Client) -> None:
    for number in range(5):
        put(s3, f"in/{number}", "GLACIER")
    with pytest.raises(RequestError, match=r"5 of the inputs .*: s3://bucket/in/0, .*/1, .*/2 and 2 more"):
        inputs(s3).find(["s3://bucket/in", "s3://bucket/in/1"])


def test_archived_objects_that_are_not_read_are_ignored(s3: S3Client) -> None:
    put(s3, "in/a")
    put(s3, "in/_hidden", "GLACIER")
    put(s3, "in/empty", "GLACIER", b"")
    put(s3, "in/instant", "GLACIER_IR")
    found = inputs(s3).find(["s3://bucket/in"])
    assert [each.source.rpartition("/")[2] for each in found.objects] == ["a", "empty", "instant"]


def test_restored_objects_are_read_and_objects_still_being_restored_are_refused(s3: S3Client) -> None:
    put(s3, "in/a", "GLACIER")
    put(s3, "in/tiered", "INTELLIGENT_TIERING")
    s3.restore_object(Bucket="bucket", Key="in/a", RestoreRequest={"Days": 1})
    done: dict[str, Any] = {"IsRestoreInProgress": False, "RestoreExpiryDate": EXPIRES}
    assert len(inputs(GuardedClient(s3, restored={"in/a": done})).find(["s3://bucket/in"]).objects) == 2
    for key in ("in/a", "in/tiered"):
        under_way: dict[str, dict[str, Any]] = {"in/a": done, key: {"IsRestoreInProgress": True}}
        with pytest.raises(RequestError, match=f"1 of the inputs .*: s3://bucket/{key}"):
            inputs(GuardedClient(s3, restored=under_way)).find(["s3://bucket/in"])


def test_a_bucket_that_can_be_listed_but_not_read_is_refused_during_planning(s3: S3Client) -> None:
    put(s3, "in/empty", body=b"")
    put(s3, "in/full")
    guarded = GuardedClient(s3, denied="get_object")
    with pytest.raises(RequestError, match=r"reading s3://bucket/in/full: access denied.*--requester-pays reads it"):
        inputs(guarded).find(["s3://bucket/in"])


def test_without_list_permission_a_missing_input_is_reported_as_denied_or_missing(s3: S3Client) -> None:
    guarded = GuardedClient(s3, denied="get_object")  # S3's answer to callers who cannot list the bucket
    with pytest.raises(
        RequestError, match=r"s3://bucket/in/gone: access denied, or the object does not exist .*run the job again"
    ):
        list(inputs(guarded).stream("s3://bucket/in/gone", etag='"1"', start=0, stop=1))


def test_objects_encrypted_with_a_customer_provided_key_are_refused_during_planning(s3: S3Client) -> None:
    class Encrypted(GuardedClient):
        def get_object(self, **_arguments: Any) -> Any:
            raise error("InvalidRequest", 400)

    put(s3, "in/a")
    with pytest.raises(RequestError, match=r"an input cannot be read: reading s3://bucket/in/a: .*InvalidRequest"):
        inputs(Encrypted(s3)).find(["s3://bucket/in"])


def test_one_byte_of_one_object_per_bucket_is_read_to_check_access(s3: S3Client) -> None:
    s3.create_bucket(Bucket="second-bucket")
    for bucket in ("bucket", "second-bucket"):
        for key in "abc":
            s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    guarded = GuardedClient(s3)
    inputs(guarded).find(["s3://bucket/", "s3://second-bucket/", "s3://bucket/a"])
    reads = [arguments for name, arguments in guarded.asked if name == "get_object"]
    assert [(one["Bucket"], one["Key"], one["Range"]) for one in reads] == [
        ("bucket", "a", "bytes=0-0"),
        ("second-bucket", "a", "bytes=0-0"),
    ]


def test_a_requester_pays_bucket_names_its_option_and_works_with_it(s3: S3Client) -> None:
    put(s3, "in/a")
    for argument in ("s3://bucket/in", "s3://bucket/in/a", "s3://bucket/in/*"):
        with pytest.raises(RequestError, match=r"bucket bucket .* Requester Pays, --requester-pays reads it"):
            inputs(GuardedClient(s3, pays=True)).find([argument])
        assert inputs(GuardedClient(s3, pays=True), requester_pays=True).find([argument]).objects


def test_a_denied_requester_who_pays_is_referred_to_the_buckets_owner(s3: S3Client) -> None:
    put(s3, "in/a")
    with pytest.raises(RequestError, match="its owner must allow you") as refused:
        inputs(GuardedClient(s3, denied="get_object"), requester_pays=True).find(["s3://bucket/in"])
    assert "--requester-pays" not in str(refused.value)


def check(
    client: object, *, deadline_s: float = DAY_S, uri: str = "s3://bucket/out", account: str | None = None
) -> None:
    S3Output(cast("S3Client", client), uri, "job-1", account=account).check(deadline_s=deadline_s)


def test_an_output_in_another_accounts_bucket_is_refused_by_name(s3: S3Client) -> None:
    guarded = GuardedClient(s3, owner="222222222222")
    with pytest.raises(RequestError, match="bucket bucket belongs to another account than the stack, 111111111111"):
        check(guarded, account="111111111111")
    check(guarded, account="222222222222")
    check(guarded)


def test_an_output_that_cannot_be_listed_is_not_reported_as_another_accounts(s3: S3Client) -> None:
    with pytest.raises(RequestError, match="access denied") as refused:
        check(GuardedClient(s3, denied="list_objects_v2"), account="111111111111")
    assert "another account" not in str(refused.value)


def rule(days: int | None, **more: Any) -> dict[str, Any]:
    action = (
        {"Expiration": {"Days": 9}}
        if days is None
        else {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days}}
    )
    return {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": ""}, **action, **more}


class ClientWithRules(GuardedClient):
    """A client of a bucket with these lifecycle rules."""

    def __init__(self, client: S3Client, *rules: dict[str, Any]) -> None:
        super().__init__(client)
        self._rules = rules

    def get_bucket_lifecycle_configuration(self, **_arguments: Any) -> Any:
        self.asked.append(("get_bucket_lifecycle_configuration", {}))
        return {"Rules": list(self._rules)}


@pytest.mark.parametrize(
    "applying",
    [
        rule(2),
        rule(2, Filter={"Prefix": "o"}),
        rule(2, Filter={"Prefix": "out/part-00001"}),
        rule(2, Filter={}),
        {**rule(2), "Filter": {"And": {"Prefix": "out/"}}},
        {key: value for key, value in {**rule(2), "Prefix": "out"}.items() if key != "Filter"},
        {key: value for key, value in rule(2).items() if key != "Filter"},
    ],
    ids=str,
)
def test_a_deadline_later_than_a_rule_for_open_uploads_is_refused_with_the_rules_name(
    s3: S3Client, applying: dict[str, Any]
) -> None:
    with pytest.raises(
        RequestError, match=r"--deadline 2 d 1 h: bucket bucket aborts uploads 2 d .*'tidy'.* at most 2d"
    ):
        check(ClientWithRules(s3, rule(6), applying), deadline_s=2 * DAY_S + 3600)
    check(ClientWithRules(s3, rule(6), applying), deadline_s=2 * DAY_S)


@pytest.mark.parametrize(
    "idle",
    [
        rule(None),
        rule(2, Status="Disabled"),
        rule(2, Filter={"Prefix": "elsewhere"}),
        rule(2, Filter={"Prefix": "out/_SUCCESS"}),
        rule(2, Filter={"Tag": {"Key": "a", "Value": "b"}}),
        rule(2, Filter={"And": {"Prefix": "out/", "Tags": [{"Key": "a", "Value": "b"}]}}),
        rule(2, Filter={"ObjectSizeGreaterThan": 1}),
    ],
    ids=str,
)
def test_a_rule_that_does_not_affect_the_outputs_uploads_is_ignored(s3: S3Client, idle: dict[str, Any]) -> None:
    check(ClientWithRules(s3, idle), deadline_s=6 * DAY_S)


def test_a_bucket_without_rules_allows_any_deadline(s3: S3Client) -> None:
    check(s3, deadline_s=6 * DAY_S)


def test_a_deadline_of_a_day_needs_no_access_to_lifecycle_rules(s3: S3Client) -> None:
    ruled = ClientWithRules(s3, rule(1))
    check(ruled, deadline_s=DAY_S)
    assert "get_bucket_lifecycle_configuration" not in [name for name, _ in ruled.asked]
    check(GuardedClient(s3, denied="get_bucket_lifecycle_configuration"), deadline_s=DAY_S)


def test_a_longer_deadline_needs_access_to_lifecycle_rules(s3: S3Client) -> None:
    with pytest.raises(RequestError, match=r"--deadline of at most 1d, or ask .* s3:GetLifecycleConfiguration"):
        check(GuardedClient(s3, denied="get_bucket_lifecycle_configuration"), deadline_s=DAY_S + 1)


def test_an_unexpected_error_about_rules_is_raised(s3: S3Client) -> None:
    class Broken(GuardedClient):
        def get_bucket_lifecycle_configuration(self, **_arguments: Any) -> Any:
            raise error("Strange", 400)

    with pytest.raises(InvariantError, match="Strange"):
        check(Broken(s3), deadline_s=2 * DAY_S)
