"""Read the settings from the environment, once, when a process starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

from s3mr.errors import RequestError

NAME_AT_ENDPOINT: Final = "s3mr"  # default name of the bucket and of the table
EMBEDDED_KEY: Final = "S3MR_EMBEDDED_KEY"  # the environment variable


@dataclass(frozen=True, slots=True)
class AccessKey:
    """The key that signs requests to the embedded cloud. It is random, and valid only for one run."""

    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the result of ``str()``."""
        key_id, _, secret = text.partition(":")
        return cls(key_id, secret)

    def __str__(self) -> str:
        return f"{self.key_id}:{self.secret}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the stack's own bucket and table are.

    They are in AWS, with the AWS configuration of this process, or at ``endpoint_url``. The embedded cloud uses
    ``embedded_key`` and no AWS configuration.
    """

    bucket: str
    table: str
    endpoint_url: str | None = None
    scratch_folder: str | None = None  # for data that does not fit into memory; None: the system's default
    chaos: str | None = None  # faults to inject into workers on this machine
    dynamodb_url: str | None = None  # if DynamoDB is not at ``endpoint_url``
    embedded_key: AccessKey | None = None  # set if the endpoint is the embedded cloud, which ends with its command

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings that `to_environment` wrote, or that a deployment has set.

        Raises:
            RequestError: a variable is missing.
        """
        try:
            bucket, table = environment["S3MR_BUCKET"], environment["S3MR_TABLE"]
        except KeyError as error:
            raise RequestError(f"the environment variable {error} is not set") from None
        return cls(
            bucket,
            table,
            environment.get("S3MR_ENDPOINT_URL"),
            environment.get("S3MR_SCRATCH"),
            environment.get("S3MR_CHAOS"),
            environment.get("S3MR_DYNAMODB_URL"),
            AccessKey.parse(key) if (key := environment.get(EMBEDDED_KEY)) else None,
        )

    @classmethod
    def at_endpoint(cls, url: str, environment: Mapping[str, str]) -> Self:
        """Return the settings for the S3 and DynamoDB services at ``url``, which keep job state between commands.

        ``S3MR_BUCKET`` and ``S3MR_TABLE`` name the bucket and the table. Set ``AWS_ENDPOINT_URL_DYNAMODB`` if DynamoDB
        has another URL.

        Raises:
            RequestError: a URL is not valid.
        """
        dynamodb_url = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or None
        for what, given in (("--endpoint-url", url), ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url or url)):
            if not _is_url(given):
                raise RequestError(f"{what} {given!r} is not a URL: write it like http://localhost:9000")
        return cls(
            environment.get("S3MR_BUCKET") or NAME_AT_ENDPOINT,
            environment.get("S3MR_TABLE") or NAME_AT_ENDPOINT,
            url,
            dynamodb_url=dynamodb_url,
        )

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables that give another process the same settings."""
        named = {
            "S3MR_BUCKET": self.bucket,
            "S3MR_TABLE": self.table,
            "S3MR_ENDPOINT_URL": self.endpoint_url,
            "S3MR_SCRATCH": self.scratch_folder,
            "S3MR_CHAOS": self.chaos,
            "S3MR_DYNAMODB_URL": self.dynamodb_url,
            EMBEDDED_KEY: str(self.embedded_key) if self.embedded_key else None,
        }
        return {name: value for name, value in named.items() if value is not None}


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
