"""The state of AWS Lambda: functions with their versions, aliases and settings for asynchronous invocation."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.deployed.harness.needs import arn

LATEST: Final = "$LATEST"
RETRIES_DEFAULT: Final = 2
EVENT_AGE_S_DEFAULT: Final = 6 * 3600


class NoSuchFunction(Exception):  # noqa: N818 - it is an answer to a request
    """The function, version or alias does not exist."""


@dataclass(frozen=True)
class Version:
    """Code and settings. ``number`` is ``$LATEST`` before they are published."""

    function: str
    number: str
    handler: str
    runtime: str
    architecture: str
    role: str
    memory_mb: int
    timeout_s: int
    package: Path
    code_sha: str
    environment: Mapping[str, str]
    log_group: str
    log_format: str = "Text"
    dead_letters: str | None = None

    @property
    def arn(self) -> str:
        return f"{function_arn(self.function)}:{self.number}"


@dataclass(frozen=True)
class InvokeConfig:
    """How often and how long an event is retried, and which destinations get its result."""

    retries_max: int = RETRIES_DEFAULT
    event_age_s_max: int = EVENT_AGE_S_DEFAULT
    on_success: str | None = None
    on_failure: str | None = None


@dataclass
class Function:
    """A function. At most ``reserved`` of its invocations run at once."""

    name: str
    latest: Version
    reserved: int | None = None
    versions: dict[str, Version] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    invoke_configs: dict[str, InvokeConfig] = field(default_factory=dict)
    published: int = 0

    @property
    def arn(self) -> str:
        return function_arn(self.name)

    def publish(self) -> Version:
        """Publish the latest code and settings as a new version."""
        self.published += 1
        version = replace(self.latest, number=str(self.published))
        self.versions[version.number] = version
        return version

    def version(self, qualifier: str) -> Version:
        """Return the version that a number, an alias or ``$LATEST`` names.

        Raises:
            NoSuchFunction: it does not exist.
        """
        number = self.aliases.get(qualifier, qualifier)
        if number == LATEST:
            return self.latest
        if number not in self.versions:
            raise NoSuchFunction(f"{self.arn}:{qualifier}")
        return self.versions[number]


@dataclass
class Functions:
    """All functions of the account."""

    packages: dict[str, Path] = field(default_factory=dict)
    _known: dict[str, Function] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __iter__(self) -> Iterator[Function]:
        return iter(list(self._known.values()))

    def add(self, function: Function) -> None:
        with self._turn:
            self._known[function.name] = function

    def remove(self, name: str) -> None:
        with self._turn:
            self._known.pop(name, None)

    def find(self, named: str, qualifier: str | None = None) -> tuple[Function, str]:
        """Return a function by name or ARN, and the qualifier, which may be part of the ARN.

        Raises:
            NoSuchFunction: it does not exist.
        """
        parts = named.split(":")
        if named.startswith("arn:"):
            parts = parts[6:]
        name, own = parts[0], parts[1] if len(parts) > 1 else None
        if name not in self._known:
            raise NoSuchFunction(function_arn(name))
        return self._known[name], qualifier or own or LATEST


def function_arn(name: str) -> str:
    """Return the unqualified ARN of a function."""
    return arn("lambda", f"function:{name}")
