"""Environment → settings, read once at the start of a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

from s3mr.errors import RequestError

NAME_AT_ENDPOINT: Final = "s3mr"  # of the bucket and the table, unless they are named
EMBEDDED_KEY: Final = "S3MR_EMBEDDED_KEY"  # the environment variable


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What requests to the embedded cloud are signed with: drawn for one run, and good for nothing else."""

    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` has written."""
        key_id, _, secret = text.partition(":")
        return cls(key_id, secret)

    def __str__(self) -> str:
        return f"{self.key_id}:{self.secret}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the stack's own bucket and table are.

    The process' own AWS configuration says it, or an ``endpoint_url`` does; that of the embedded cloud needs none of
    that configuration, but the ``embedded_key``.
    """

    bucket: str
    table: str
    endpoint_url: str | None = None
    scratch_folder: str | None = None  # for what does not fit into memory; the system's default where None
    chaos: str | None = None  # faults on purpose, in workers of a laptop
    dynamodb_url: str | None = None  # where DynamoDB is not at ``endpoint_url``
    embedded_key: AccessKey | None = None  # the endpoint is a command's own, and ends with it

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
        """Return the settings of services that live on at ``url``: S3, and DynamoDB unless it is named apart.

        Bucket and table are named by ``S3MR_BUCKET`` and ``S3MR_TABLE``, a DynamoDB of its own, as AWS has it, by
        ``AWS_ENDPOINT_URL_DYNAMODB``.

        Raises:
            RequestError: this is no URL.
        """
        dynamodb_url = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or None
        for what, given in (("--endpoint-url", url), ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url or url)):
            if not _is_url(given):
                raise RequestError(f"{what} {given!r}: write a URL, as in http://localhost:9000")
        return cls(
            environment.get("S3MR_BUCKET") or NAME_AT_ENDPOINT,
            environment.get("S3MR_TABLE") or NAME_AT_ENDPOINT,
            url,
            dynamodb_url=dynamodb_url,
        )

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which another process reads the same settings."""
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
