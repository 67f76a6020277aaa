"""Store all jobs in one DynamoDB table. It uses no transactions: each write that decides is one conditional write.

If a condition fails, the existing item is read (`ReturnValuesOnConditionCheckFailure`) before the write counts as lost:
the item may be this write itself, repeated after its response was lost.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3mr.adapters.aws import dynamodb_items as items
from s3mr.adapters.aws.aws_errors import code_of, translated
from s3mr.adapters.aws.dynamodb_items import Item, text
from s3mr.batching import batched
from s3mr.errors import RequestError, TransientError
from s3mr.model.job import AttemptId, Failure, JobState, LiveAttempt, Phase
from s3mr.model.manifest import Manifest
from s3mr.model.report import Report
from s3mr.ports import Commit, Logged, Observation

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeySchemaElementTypeDef, TableDescriptionTypeDef, WaiterConfigTypeDef

BATCH_WRITE_MAX = 25  # DynamoDB: BatchWriteItem
BATCH_GET_MAX = 100  # DynamoDB: BatchGetItem
UNPROCESSED_ROUNDS_MAX = 8
KEY_SCHEMA: "list[KeySchemaElementTypeDef]" = [
    {"AttributeName": "pk", "KeyType": "HASH"},
    {"AttributeName": "sk", "KeyType": "RANGE"},
]
READY: "WaiterConfigTypeDef" = {"Delay": 1, "MaxAttempts": 120}  # seconds


class DynamoDBJobStore:
    """All jobs of one stack."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def create_table(self) -> None:
        """Create the table if it does not exist. Only for services without a deployed stack.

        Raises:
            RequestError: there is a table with that name that is not one of s3mr's.
        """
        with translated(f"creating the table {self._table}"):
            existing = self._describe() or self._create()
            if existing["KeySchema"] != KEY_SCHEMA:
                raise RequestError(f"the table {self._table} is not one of s3mr's: name another one")
            if existing["TableStatus"] != "ACTIVE":
                self._client.get_waiter("table_exists").wait(TableName=self._table, WaiterConfig=READY)

    def _describe(self) -> "TableDescriptionTypeDef | None":
        try:
            return self._client.describe_table(TableName=self._table)["Table"]
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return None

    def _create(self) -> "TableDescriptionTypeDef":
        try:
            created = self._client.create_table(
                TableName=self._table,
                KeySchema=KEY_SCHEMA,
                AttributeDefinitions=[
                    {"AttributeName": "pk", "AttributeType": "S"},
                    {"AttributeName": "sk", "AttributeType": "S"},
                ],
                BillingMode="PAY_PER_REQUEST",
            )
        except ClientError as error:
            if code_of(error) != "ResourceInUseException":  # another command is creating it
                raise
            return self._client.describe_table(TableName=self._table)["Table"]
        return created["TableDescription"]

    def claim_output(self, output: str, *, job_id: str) -> str | None:
        key = items.claim_key(output)
        claim = {**key, "job_id": text(job_id)}
        existing = self._put(claim, items.CLAIM_FREE, {":job_id": text(job_id)})
        if existing is None:
            return None
        holder: str = existing["job_id"]["S"]
        if self._holds(holder):
            return holder
        existing = self._put(claim, items.CLAIM_MINE, {":job_id": text(holder)})
        if existing is None or not existing or existing["job_id"]["S"] == job_id:
            return None
        return str(existing["job_id"]["S"])

    def release_output(self, output: str, *, job_id: str) -> None:
        with translated(f"releasing the claim on {output}"), _condition_may_fail():
            self._client.delete_item(
                TableName=self._table,
                Key=items.claim_key(output),
                ConditionExpression=items.CLAIM_MINE,
                ExpressionAttributeValues={":job_id": text(job_id)},
            )

    def _holds(self, job_id: str) -> bool:
        found = next(self._query(f"job#{job_id}", "job"), None)  # None if expired: a job is written before its claim
        return found is not None and not items.read_job(found).released

    def create(self, job: JobState) -> bool:
        item = items.job_item(job)
        with translated(f"listing job {job.spec.job_id}"):
            self._client.put_item(TableName=self._table, Item=items.listed_item(job))
        existing = self._put(item, items.ABSENT)
        return existing is None or existing == item

    def newest(self, count: int) -> list[JobState]:
        ids: list[str] = []
        for item in self._query(items.LISTED, newest_first=True):
            ids.append(item["sk"]["S"])
            if len(ids) == count:
                break
        found = {}
        for batch in batched(ids, BATCH_GET_MAX):
            for item in self._get_all([items.job_key(job_id) for job_id in batch]):
                if items.of_this_schema(item):
                    job = items.read_job(item)
                    found[job.spec.job_id] = job
        return [found[job_id] for job_id in ids if job_id in found]

    def observe(self, job_id: str) -> Observation | None:
        found = list(self._query(f"job#{job_id}"))
        job = next((items.read_job(item) for item in found if item["sk"]["S"] == "job"), None)
        if job is None:
            return None
        cancelled = any(item["sk"]["S"] == "cancel" for item in found)
        live = tuple(items.read_live(item) for item in found if item["sk"]["S"].startswith("live#"))
        return Observation(job, cancelled, live)

    def read_job(self, job_id: str) -> JobState | None:
        with translated(f"reading job {job_id}"):
            answer = self._client.get_item(TableName=self._table, Key=items.job_key(job_id), ConsistentRead=True)
        return items.read_job(answer["Item"]) if "Item" in answer else None

    def replace(self, job: JobState, *, epoch: int) -> bool:
        item = items.job_item(job)
        existing = self._put(item, items.EPOCH_IS, {":epoch": items.number(epoch)})
        return existing is None or existing == item

    def request_cancel(self, job_id: str, *, at: float) -> None:
        with translated(f"cancelling job {job_id}"):
            self._client.put_item(TableName=self._table, Item=items.cancel_item(job_id, at))

    def begin(self, job_id: str, attempts: Sequence[LiveAttempt]) -> None:
        self._write_all({"PutRequest": {"Item": items.live_item(job_id, one)}} for one in attempts)

    def record_failure(
        self, job_id: str, *, phase: Phase, attempt: AttemptId, failure: Failure, failed_at: float
    ) -> bool:
        with translated(f"recording a failure of job {job_id}"):
            with _condition_may_fail() as refused:
                self._client.update_item(
                    TableName=self._table,
                    Key=items.live_key(job_id, phase, attempt),
                    UpdateExpression="SET failure = :failure, failed_at = :failed_at",
                    ConditionExpression=items.LIVE_AND_NOT_FAILED,
                    ExpressionAttributeValues={
                        ":failure": text(failure.model_dump_json()),
                        ":failed_at": items.number(failed_at),
                    },
                )
            return not refused

    def forget(self, job_id: str, phase: Phase, attempts: Iterable[AttemptId]) -> None:
        keys = [items.live_key(job_id, phase, one) for one in attempts]
        if len(keys) == 1:
            with translated(f"deleting an attempt of job {job_id}"):
                self._client.delete_item(TableName=self._table, Key=keys[0])
        else:
            self._write_all({"DeleteRequest": {"Key": key}} for key in keys)

    def commit(self, job: JobState, manifest: Manifest) -> Commit:
        existing = self._put(items.manifest_item(job, manifest), items.ABSENT)
        if existing is None:
            return Commit.WON
        return Commit.REPEATED if items.read_manifest(existing) == manifest else Commit.LOST

    def seal(self, job: JobState, phase: Phase, tasks: Iterable[int]) -> None:
        for task in tasks:
            self._put(items.sealed_item(job, phase, task), items.ABSENT)

    def manifests(self, job: JobState, phase: Phase, tasks: Iterable[int]) -> dict[int, Manifest]:
        found = {}
        for batch in batched(tasks, BATCH_GET_MAX):
            for item in self._get_all([items.manifest_key(job, phase, task) for task in batch]):
                manifest = items.read_manifest(item)
                if manifest is not None:
                    found[manifest.task] = manifest
        return found

    def all_manifests(self, job: JobState, phase: Phase) -> Iterator[Manifest]:
        slices = [
            (items.read_manifest(item) for item in self._query(items.slice_name(job, index), f"manifest#{phase}#"))
            for index in range(job.spec.slices)
        ]
        winners = ((one for one in slice_ if one is not None) for slice_ in slices)
        yield from heapq.merge(*winners, key=lambda manifest: manifest.task)

    def log_attempt(self, job: JobState, report: Report, *, verdict: str, at: float) -> None:
        self._put(items.attempt_item(job, report, verdict=verdict, at=at), "attribute_not_exists(pk)")

    def count_ignored(self, job: JobState) -> int:
        return sum(
            item["verdict"]["S"] == "ignored" and item["completed"]["BOOL"]
            for index in range(job.spec.slices)
            for item in self._query(items.slice_name(job, index), "attempt#")
        )

    def logged(self, job: JobState, phase: Phase, task: int) -> list[Logged]:
        slice_ = items.slice_name(job, task % job.spec.slices)
        prefixes = [items.attempt_prefix(phase, task), items.FORGED + items.attempt_prefix(phase, task)]
        found = [items.read_attempt(item) for prefix in prefixes for item in self._query(slice_, prefix)]
        return sorted(found, key=lambda one: (one.attempt, str(one.worker)))

    def erase(self, job: JobState) -> None:
        self.release_output(job.spec.output, job_id=job.spec.job_id)
        names = [items.slice_name(job, index) for index in range(job.spec.slices)]
        for name in [*names, f"job#{job.spec.job_id}"]:
            keys = [{"pk": item["pk"], "sk": item["sk"]} for item in self._query(name)]
            self._write_all({"DeleteRequest": {"Key": key}} for key in keys)
        listed = items.listed_item(job)
        self._write_all([{"DeleteRequest": {"Key": {"pk": listed["pk"], "sk": listed["sk"]}}}])

    def _put(self, item: Item, condition: str, values: Item | None = None) -> Item | None:
        """Put ``item`` if ``condition`` holds. Otherwise, return the existing item, which may be empty."""
        more: dict[str, Any] = {"ExpressionAttributeValues": values} if values else {}
        with translated(f"writing {item['pk']['S']} / {item['sk']['S']}"):
            with _condition_may_fail() as refused:
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=condition,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **more,
                )
            return refused[0] if refused else None

    def _query(self, pk: str, sort_prefix: str = "", *, newest_first: bool = False) -> Iterator[Item]:
        condition, values = "pk = :pk", {":pk": text(pk)}
        if sort_prefix:
            condition, values = condition + " AND begins_with(sk, :sk)", {**values, ":sk": text(sort_prefix)}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
            ScanIndexForward=not newest_first,
        )
        with translated(f"reading {pk}"):
            for page in pages:
                yield from page["Items"]

    def _write_all(self, requests: Iterable[Item]) -> None:
        for batch in batched(requests, BATCH_WRITE_MAX):
            pending: dict[str, Any] = {self._table: list(batch)}
            for _ in range(UNPROCESSED_ROUNDS_MAX):
                with translated(f"writing {len(batch)} items"):
                    pending = dict(self._client.batch_write_item(RequestItems=pending)["UnprocessedItems"])
                if not pending:
                    break
            else:
                raise TransientError(f"DynamoDB left items of a batch unwritten, {UNPROCESSED_ROUNDS_MAX} times")

    def _get_all(self, keys: Sequence[Item]) -> Iterator[Item]:
        pending: dict[str, Any] = {self._table: {"Keys": list(keys), "ConsistentRead": True}} if keys else {}
        for _ in range(UNPROCESSED_ROUNDS_MAX):
            if not pending:
                return
            with translated(f"reading {len(keys)} items"):
                answer = self._client.batch_get_item(RequestItems=pending)
            yield from answer["Responses"][self._table]
            pending = dict(answer["UnprocessedKeys"])
        if pending:
            raise TransientError(f"DynamoDB left items of a batch unread, {UNPROCESSED_ROUNDS_MAX} times")


@contextmanager
def _condition_may_fail() -> Iterator[list[Item]]:
    """Yield a list. If the condition fails, it contains the existing item (empty if the response has none)."""
    refused: list[Item] = []
    try:
        yield refused
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        refused.append(dict(error.response.get("Item", {})))  # type: ignore[call-overload]
