"""boto3 clients: made once a process, counted, and set up alike."""

import os
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

from s3mr.adapters.aws_errors import translated

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
    """Where the embedded cloud listens. Its clients heed nothing of the user's AWS configuration, nor a proxy."""

    url: str


def s3_client(endpoint: Endpoint | None, meter: Meter, *, connections_max: int) -> "S3Client":
    """Return a new S3 client, of the embedded cloud or, without an endpoint, of the user's own configuration.

    Raises:
        RequestError: that configuration names a profile that does not exist, or no region where one is needed.
    """
    with translated("the AWS configuration"):
        if endpoint is None:
            client = boto3.session.Session().client("s3", config=Config(**_tries(connections_max)))
        else:
            client = _embedded_session().client("s3", **_embedded(endpoint, connections_max))
    meter.watch(client)
    return client


def dynamodb_client(endpoint: Endpoint | None, meter: Meter, *, connections_max: int) -> "DynamoDBClient":
    """Return a new DynamoDB client, likewise."""
    with translated("the AWS configuration"):
        if endpoint is None:
            client = boto3.session.Session().client("dynamodb", config=Config(**_tries(connections_max)))
        else:
            client = _embedded_session().client("dynamodb", **_embedded(endpoint, connections_max))
    meter.watch(client)
    return client


def _embedded_session() -> boto3.session.Session:
    nothing = (None, None, None, None)  # no key of a file, no environment variable, no value
    devnull = (None, None, os.devnull, None)
    configuration = {"profile": nothing, "config_file": devnull, "credentials_file": devnull}
    return boto3.session.Session(botocore_session=botocore.session.Session(session_vars=configuration))


def _embedded(endpoint: Endpoint, connections_max: int) -> dict[str, Any]:
    return {
        "endpoint_url": endpoint.url,
        "region_name": "us-east-1",
        "aws_access_key_id": "embedded",
        "aws_secret_access_key": "embedded",
        "config": Config(**_tries(connections_max), proxies={}, s3={"addressing_style": "path"}),
    }


def _tries(connections_max: int) -> dict[str, Any]:
    """Have botocore retry what may be retried, five tries in all."""
    return {
        "retries": {"mode": "standard", "max_attempts": 5},
        "max_pool_connections": connections_max,
        "connect_timeout": 10,
        "read_timeout": 60,
    }
