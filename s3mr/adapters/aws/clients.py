"""AWS clients: made once a process, counted, and set up alike.

They are made by boto3's own core, botocore: importing boto3 for them takes each process 0.07 s more, for what no client
needs (docs/decisions/0021).
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.loaders import Loader, create_loader

from s3mr.adapters.aws.aws_errors import translated
from s3mr.adapters.aws.overload import OverloadRetries
from s3mr.errors import InvariantError, RequestError
from s3mr.settings import AccessKey

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_sts import STSClient


class Meter:
    """Counts the requests that this process sends, by service and operation; exact under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def watch(self, client: "BaseClient") -> None:
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
    """Where services listen that are not AWS's.

    Clients of the embedded cloud, which has an access key of its own, heed nothing of the user's AWS configuration, nor
    a proxy; others heed all but the addresses in it, and ask for no checksums that only S3 itself knows.
    """

    url: str
    embedded_key: AccessKey | None = None


def s3_client(
    endpoint: Endpoint | None, meter: Meter, *, connections_max: int, patience: OverloadRetries | None = None
) -> "S3Client":
    """Return a new client, of the embedded cloud or, without an endpoint, of the user's own configuration.

    That is AWS's: ``AWS_PROFILE``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, the files in ``~/.aws`` and so on.

    Raises:
        RequestError: that configuration names a profile that does not exist, or no region where one is needed, or it
            cannot be read; the text says what of it.
    """
    client: S3Client = _client("s3", endpoint, meter, connections_max, patience)
    return client


def dynamodb_client(
    endpoint: Endpoint | None, meter: Meter, *, connections_max: int, patience: OverloadRetries | None = None
) -> "DynamoDBClient":
    """Return a new client, likewise; so do all that follow."""
    client: DynamoDBClient = _client("dynamodb", endpoint, meter, connections_max, patience)
    return client


def lambda_client(endpoint: Endpoint | None, meter: Meter, *, connections_max: int = 10) -> "LambdaClient":
    client: LambdaClient = _client("lambda", endpoint, meter, connections_max)
    return client


def cloudformation_client(meter: Meter) -> "CloudFormationClient":
    client: CloudFormationClient = _client("cloudformation", None, meter)
    return client


def step_functions_client(meter: Meter) -> "SFNClient":
    client: SFNClient = _client("stepfunctions", None, meter)
    return client


def logs_client(meter: Meter) -> "CloudWatchLogsClient":
    client: CloudWatchLogsClient = _client("logs", None, meter)
    return client


def sts_client(meter: Meter) -> "STSClient":
    client: STSClient = _client("sts", None, meter)
    return client


def _client(
    service: Any,  # noqa: ANN401 - a name; each has a type of its own
    endpoint: Endpoint | None,
    meter: Meter,
    connections_max: int = 10,
    patience: OverloadRetries | None = None,
) -> Any:  # noqa: ANN401 - each caller knows its type
    with _configuring():
        if endpoint is None:
            client = _users_session().create_client(service, config=Config(**_tries(connections_max)))
        elif endpoint.embedded_key is None:
            client = _users_session().create_client(service, **_at(endpoint, connections_max))
        else:
            configured = _embedded(endpoint.url, endpoint.embedded_key, connections_max)
            client = _embedded_session().create_client(service, **configured)
        urlsplit(client.meta.endpoint_url).port  # noqa: B018 - botocore itself looks at it when it signs a request
    meter.watch(client)
    if patience:
        patience.watch(client)
    return client


@contextmanager
def _configuring() -> Iterator[None]:
    """What fails in here is the user's configuration, whatever botocore calls it: a client that is made sends nothing.

    Raises:
        RequestError: the configuration makes no sense.
    """
    what = "the AWS configuration"
    try:
        with translated(what):
            yield
    except InvariantError as error:
        raise RequestError(str(error)) from error.__cause__
    except ValueError as error:  # an address without a scheme, or with a port that is no number
        raise RequestError(
            f"{what}: {error}: where that is an address, write a URL, as in http://localhost:4566"
        ) from error


def preload() -> None:
    """Read what botocore needs to know for a stack's clients: a process that is forked has it, and shares it."""
    loader = _loader(None)
    for service in ("s3", "dynamodb"):
        loader.load_service_model(service, "service-2")
        loader.load_service_model(service, "endpoint-rule-set-1")
    for data in ("endpoints", "partitions"):
        loader.load_data(data)


def _users_session() -> botocore.session.Session:
    """AWS's own tools read the region from AWS_REGION first; botocore knows AWS_DEFAULT_REGION alone."""
    return _session({"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)})


def _embedded_session() -> botocore.session.Session:
    nothing = (None, None, None, None)  # no key of a file, no environment variable, no value
    devnull = (None, None, os.devnull, None)
    return _session({"profile": nothing, "config_file": devnull, "credentials_file": devnull})


def _session(variables: dict[str, Any]) -> botocore.session.Session:
    session = botocore.session.Session(session_vars=variables)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    """What botocore knows of services, for all clients of the process: reading it takes longer than all the rest."""
    return create_loader(data_path)


def _at(endpoint: Endpoint, connections_max: int) -> dict[str, Any]:
    config = Config(
        **_tries(connections_max),
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
    )
    return {"endpoint_url": endpoint.url, "config": config}


def _embedded(url: str, key: AccessKey, connections_max: int) -> dict[str, Any]:
    return {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "aws_access_key_id": key.key_id,
        "aws_secret_access_key": key.secret,
        "config": Config(
            **_tries(connections_max),
            proxies={},
            request_checksum_calculation="when_required",  # what crosses the loopback has checksums of ours
            response_checksum_validation="when_required",
            s3={"addressing_style": "path", "payload_signing_enabled": False},
        ),
    }


def _tries(connections_max: int) -> dict[str, Any]:
    """Have botocore retry what may be retried, five tries in all."""
    return {
        "retries": {"mode": "standard", "max_attempts": 5},
        "max_pool_connections": connections_max,
        "connect_timeout": 10,
        "read_timeout": 60,
    }
