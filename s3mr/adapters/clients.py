"""boto3 clients: made once a process, counted, and set up alike."""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


class Meter:
    """Counts the requests that this process sends, by service and operation; exact under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def watch(self, client: "S3Client | DynamoDBClient") -> None:
        """Count every request of ``client``, retries included."""
        client.meta.events.register("before-send", self._count)

    def counts(self) -> dict[str, int]:
        """Return the counts so far, as ``{"s3:PutObject": 3}``."""
        with self._lock:
            return dict(self._counts)

    def _count(self, event_name: str, **_more: Any) -> None:  # noqa: ANN401 - botocore's event arguments
        _, service, operation = event_name.split(".")
        with self._lock:
            self._counts[f"{service}:{operation}"] += 1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service listens and how to sign for it. Without values: the user's own AWS configuration."""

    url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None


def s3_client(endpoint: Endpoint, meter: Meter, *, connections_max: int = 16) -> "S3Client":
    """Return a new S3 client; botocore retries what may be retried, five tries in all."""
    client = boto3.session.Session().client("s3", **_where(endpoint), config=_config(connections_max))
    meter.watch(client)
    return client


def dynamodb_client(endpoint: Endpoint, meter: Meter, *, connections_max: int = 16) -> "DynamoDBClient":
    """Return a new DynamoDB client."""
    client = boto3.session.Session().client("dynamodb", **_where(endpoint), config=_config(connections_max))
    meter.watch(client)
    return client


def _where(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "endpoint_url": endpoint.url,
        "region_name": endpoint.region,
        "aws_access_key_id": endpoint.access_key,
        "aws_secret_access_key": endpoint.secret_key,
    }


def _config(connections_max: int, **more: Any) -> Config:  # noqa: ANN401 - botocore's options
    return Config(
        retries={"mode": "standard", "max_attempts": 5},
        max_pool_connections=connections_max,
        connect_timeout=10,
        read_timeout=60,
        **more,
    )
