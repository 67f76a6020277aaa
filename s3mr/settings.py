"""Environment → settings, read once at the start of a process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from s3mr.errors import RequestError


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the stack's own bucket and table are.

    ``endpoint_url`` is set for the embedded cloud only; without it the process' own AWS configuration holds.
    """

    bucket: str
    table: str
    endpoint_url: str | None = None
    scratch_folder: str | None = None  # for what does not fit into memory; the system's default where None
    chaos: str | None = None  # faults on purpose, in the embedded cloud

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
        )

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which another process reads the same settings."""
        named = {
            "S3MR_BUCKET": self.bucket,
            "S3MR_TABLE": self.table,
            "S3MR_ENDPOINT_URL": self.endpoint_url,
            "S3MR_SCRATCH": self.scratch_folder,
            "S3MR_CHAOS": self.chaos,
        }
        return {name: value for name, value in named.items() if value is not None}
