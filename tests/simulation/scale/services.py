"""Services that count a coordinator's requests to DynamoDB and S3, their cost, and the sizes that they reach.

`TableClient` is below the real `DynamoDBJobStore`, so requests, items and pages are the real ones. Items are kept
packed and unpacked for each read: the reader pays for their memory, as with the service. (This also keeps Python's
garbage collector from scanning the table whenever the coordinator allocates.)
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, BinaryIO, Final

import msgpack
from botocore.exceptions import ClientError

from s3mr import limits
from s3mr.adapters.aws import dynamodb_items as items
from s3mr.adapters.aws.dynamodb_items import Item
from s3mr.batching import batched
from s3mr.errors import InvariantError
from tests.simulation.scale.meter import Meter

PAGE_BYTES: Final = limits.MIB
#: Virtual seconds that a coordinator's request takes.
QUERY_PAGE_S: Final = 0.020
DYNAMODB_S: Final = 0.005
S3_S: Final = 0.030

CONDITIONS: Final[dict[str, Callable[[Item | None, Item], bool]]] = {
    items.ABSENT: lambda standing, _: standing is None,
    items.EPOCH_IS: lambda standing, values: standing is not None and standing["epoch"] == values[":epoch"],
    items.LIVE_AND_NOT_FAILED: lambda standing, _: standing is not None and "failure" not in standing,
    items.CLAIM_FREE: lambda standing, values: standing is None or standing["job_id"] == values[":job_id"],
    items.CLAIM_MINE: lambda standing, values: standing is not None and standing["job_id"] == values[":job_id"],
}


class Table:
    """All items, packed: by partition and sort key, with their size. Equal pieces are stored once."""

    def __init__(self, meter: Meter, now: Callable[[], float]) -> None:
        self.lock = RLock()
        self.partitions: defaultdict[str, dict[str, tuple[bytes, bytes | None, int]]] = defaultdict(dict)
        self._pieces: dict[bytes, bytes] = {}
        self._meter, self._now = meter, now
        self._units: defaultdict[tuple[str, str, int], float] = defaultdict(float)

    def count(self, pk: str, prefix: str) -> int:
        return sum(sk.startswith(prefix) for sk in self.partitions[pk])

    def pages(self, pk: str, prefix: str, *, forward: bool) -> Iterator[list[str]]:
        """Yield the sort keys that begin with ``prefix``, in pages as large as allowed; at least one page."""
        partition, page, page_bytes = self.partitions[pk], list[str](), 0
        for sk in sorted((sk for sk in partition if sk.startswith(prefix)), reverse=not forward):
            size_bytes = partition[sk][2] if sk in partition else 0
            if page and page_bytes + size_bytes > PAGE_BYTES:
                yield page
                page, page_bytes = [], 0
            page.append(sk)
            page_bytes += size_bytes
        yield page

    def read(self, pk: str, sk: str) -> Item | None:
        kept = self.partitions[pk].get(sk)
        if kept is None:
            return None
        packed, pieces, _ = kept
        item: Item = msgpack.unpackb(packed)
        return item if pieces is None else {**item, "pieces": {"B": bytes(bytearray(pieces))}}

    def write(self, item: Item) -> int:
        size_bytes = item_bytes(item)
        self._meter.see("item, bytes", size_bytes)
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        pieces = item.get("pieces", {}).get("B")
        packed = msgpack.packb({name: value for name, value in item.items() if name != "pieces"})
        shared = None if pieces is None else self._pieces.setdefault(pieces, pieces)
        self.partitions[pk][sk] = (packed, shared, size_bytes)
        self.spend("writes", pk, -(-size_bytes // limits.KIB))
        return size_bytes

    def delete(self, pk: str, sk: str) -> None:
        kept = self.partitions[pk].pop(sk, None)
        self.spend("writes", pk, 1 if kept is None else -(-kept[2] // limits.KIB))

    def spend(self, kind: str, pk: str, units: float) -> None:
        second = (kind, pk, int(self._now()))
        self._units[second] += units
        preposition = "to" if kind == "writes" else "of"
        self._meter.see(f"{kind} {preposition} one table partition, units in a second", self._units[second])


class TableClient:
    """The part of DynamoDB's client that `DynamoDBJobStore` needs. ``pause`` advances time for a request."""

    def __init__(self, table: Table, meter: Meter, pause: Callable[[float], object]) -> None:
        self._table, self._meter, self._pause = table, meter, pause

    def put_item(self, **asked: Any) -> dict[str, Any]:
        with self._request(DYNAMODB_S):
            item, condition = asked["Item"], asked.get("ConditionExpression")
            self._check(item, condition, asked.get("ExpressionAttributeValues", {}))
            self._table.write(item)
            return {}

    def update_item(self, **asked: Any) -> dict[str, Any]:
        """Add a failure to a live attempt: the only update that occurs."""
        with self._request(DYNAMODB_S):
            values = asked["ExpressionAttributeValues"]
            self._check(asked["Key"], asked["ConditionExpression"], values)
            added = {"failure": values[":failure"], "failed_at": values[":failed_at"]}
            self._table.write({**(self._read(asked["Key"]) or {}), **added})
            return {}

    def delete_item(self, **asked: Any) -> dict[str, Any]:
        with self._request(DYNAMODB_S):
            self._check(asked["Key"], asked.get("ConditionExpression"), asked.get("ExpressionAttributeValues", {}))
            self._table.delete(asked["Key"]["pk"]["S"], asked["Key"]["sk"]["S"])
            return {}

    def get_item(self, **asked: Any) -> dict[str, Any]:
        with self._request(DYNAMODB_S):
            found = self._read(asked["Key"])
            return {} if found is None else {"Item": found}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - boto3's
        with self._request(DYNAMODB_S):
            ((name, asked),) = RequestItems.items()
            self._meter.see("keys of a BatchGetItem", len(asked["Keys"]))
            found = [item for item in map(self._read, asked["Keys"]) if item is not None]
            self._meter.see("BatchGetItem, bytes", sum(map(item_bytes, found)))
            return {"Responses": {name: found}, "UnprocessedKeys": {}}

    def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - boto3's
        with self._request(DYNAMODB_S):
            (requests,) = RequestItems.values()
            size_bytes = 0
            for one in requests:
                if "PutRequest" in one:
                    size_bytes += self._table.write(one["PutRequest"]["Item"])
                else:
                    key = one["DeleteRequest"]["Key"]
                    self._table.delete(key["pk"]["S"], key["sk"]["S"])
            self._meter.see("items of a BatchWriteItem", len(requests))
            self._meter.see("BatchWriteItem, bytes", size_bytes)
            return {"UnprocessedItems": {}}

    def get_paginator(self, name: str) -> "TableClient":
        assert name == "query"
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        """Yield pages, each as large as the service makes them."""
        pk = asked["ExpressionAttributeValues"][":pk"]["S"]
        prefix = asked["ExpressionAttributeValues"].get(":sk", {"S": ""})["S"]
        for names in self._table.pages(pk, prefix, forward=asked["ScanIndexForward"]):
            with self._request(QUERY_PAGE_S):
                read = [self._table.read(pk, sk) for sk in names]
                page = [item for item in read if item is not None]  # a query is not a snapshot: some items may be gone
                size_bytes = sum(map(item_bytes, page))
                self._meter.see("page of a query, bytes", size_bytes)
                self._table.spend("reads", pk, max(1, -(-size_bytes // (4 * limits.KIB))))
            yield {"Items": page}

    def _read(self, key: Item) -> Item | None:
        item = self._table.read(key["pk"]["S"], key["sk"]["S"])
        size_bytes = item_bytes(item) if item else 1
        self._table.spend("reads", key["pk"]["S"], -(-size_bytes // (4 * limits.KIB)))
        return item

    def _check(self, key: Item, condition: str | None, values: Item) -> None:
        if condition is None:
            return
        standing = self._table.read(key["pk"]["S"], key["sk"]["S"])
        if not CONDITIONS[condition](standing, values):
            error = {"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}, "Item": standing or {}}
            raise ClientError(error, "PutItem")  # type: ignore[arg-type] # the item is DynamoDB's own addition

    @contextmanager
    def _request(self, seconds: float) -> Iterator[None]:
        with self._table.lock, self._meter.charging("services") as asker:
            self._meter.requests[f"{asker} dynamodb"] += 1
            self._pause(seconds)
            yield


class Objects:
    """The stack's bucket. It stores only the sizes of objects from workers and the barrier."""

    def __init__(self, meter: Meter, pause: Callable[[float], object]) -> None:
        self.sizes: dict[str, int] = {}
        self._kept: dict[str, bytes] = {}
        self._meter, self._pause = meter, pause

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self._ask()
        if isinstance(body, bytes):
            self._kept[key] = body
        elif "/index/" not in key:
            body.seek(0)
            self._kept[key] = body.read()
        self.sizes[key] = len(body) if isinstance(body, bytes) else body.seek(0, 2)

    def stream(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        self._ask()
        data = self._kept[key][start:stop]
        yield from (data[at : at + limits.MIB] for at in range(0, len(data), limits.MIB))

    def size(self, key: str) -> int | None:
        self._ask()
        return self.sizes.get(key)

    def copy(self, source: str, target: str) -> bool:
        raise InvariantError(f"nothing is resumed here: {source} to {target}")

    def list(self, prefix: str) -> Iterator[str]:
        for page in batched(sorted(key for key in self.sizes if key.startswith(prefix)), 1_000):
            self._ask()
            yield from page

    def delete(self, keys: Iterable[str]) -> None:
        for batch in batched(keys, 1_000):
            self._ask()
            for key in batch:
                self.sizes.pop(key, None)
                self._kept.pop(key, None)

    def _ask(self) -> None:
        with self._meter.charging("services") as asker:
            self._meter.requests[f"{asker} s3"] += 1
            self._pause(S3_S)


def item_bytes(item: Item) -> int:
    """Return the size of an item (DynamoDB developer guide, "DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return len(content) // 2 + 2
    return len(content) if kind == "B" else 1
