"""Create AWS clients, with the same configuration and with counted requests.

They are created with botocore, the core of boto3: importing boto3 takes each process 0.07 s more, for features that no
client needs (docs/decisions/0021).
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
    """Counts the requests that this process sends, by service and operation. Thread-safe."""

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
    """The address of services that are not AWS's.

    With ``embedded_key``, it is the embedded cloud: its clients ignore the user's AWS configuration and proxies. Other
    clients use that configuration except for its endpoint URLs, and do not ask for checksums that only S3 supports.
    """

    url: str
    embedded_key: AccessKey | None = None


def s3_client(
    endpoint: Endpoint | None, meter: Meter, *, connections_max: int, patience: OverloadRetries | None = None
) -> "S3Client":
    """Return a new client for ``endpoint``, or if it is None, for the user's AWS configuration.

    That configuration is ``AWS_PROFILE``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, the files in ``~/.aws`` and so on.

    Raises:
        RequestError: the configuration names a profile that does not exist, lacks a region, or cannot be read.
    """
    client: S3Client = _client("s3", endpoint, meter, connections_max, patience)
    return client


def dynamodb_client(
    endpoint: Endpoint | None, meter: Meter, *, connections_max: int, patience: OverloadRetries | None = None
) -> "DynamoDBClient":
    """Return a new client, in the same way as `s3_client`. The functions below do the same."""
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
    service: Any,  # noqa: ANN401 - a name; each service has its own client type
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
        urlsplit(client.meta.endpoint_url).port  # noqa: B018 - raises now, not when botocore signs the first request
    meter.watch(client)
    if patience:
        patience.watch(client)
    return client


@contextmanager
def _configuring() -> Iterator[None]:
    """Translate any error in this context to an error of the configuration: creating a client sends no requests.

    Raises:
        RequestError: the configuration is not valid.
    """
    what = "the AWS configuration"
    try:
        with translated(what):
            yield
    except InvariantError as error:
        raise RequestError(str(error)) from error.__cause__
    except ValueError as error:  # an address without a scheme, or with a port that is not a number
        raise RequestError(
            f"{what}: {error}: if that is an address, write a URL, as in http://localhost:4566"
        ) from error


def preload() -> None:
    """Load botocore's data for a stack's clients before a fork, so that forked processes share it."""
    loader = _loader(None)
    for service in ("s3", "dynamodb"):
        loader.load_service_model(service, "service-2")
        loader.load_service_model(service, "endpoint-rule-set-1")
    for data in ("endpoints", "partitions"):
        loader.load_data(data)


def _users_session() -> botocore.session.Session:
    """Read the region from AWS_REGION first, as AWS's own tools do. botocore reads only AWS_DEFAULT_REGION."""
    return _session({"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)})


def _embedded_session() -> botocore.session.Session:
    nothing = (None, None, None, None)  # no key in a file, no environment variable, no default
    devnull = (None, None, os.devnull, None)
    return _session({"profile": nothing, "config_file": devnull, "credentials_file": devnull})


def _session(variables: dict[str, Any]) -> botocore.session.Session:
    session = botocore.session.Session(session_vars=variables)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    """Return a loader shared by all clients: loading botocore's data takes most of the time to create a client."""
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
            request_checksum_calculation="when_required",  # s3mr's own checksums cover data on the loopback
            response_checksum_validation="when_required",
            s3={"addressing_style": "path", "payload_signing_enabled": False},
        ),
    }


def _tries(connections_max: int) -> dict[str, Any]:
    """Return the client options for botocore's own retries, connections and timeouts."""
    return {
        "retries": {"mode": "standard", "max_attempts": 5},
        "max_pool_connections": connections_max,
        "connect_timeout": 10,
        "read_timeout": 60,
    }
