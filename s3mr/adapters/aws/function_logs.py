"""Read the functions' logs in CloudWatch: lines of JSON that name the job, the task, the attempt and the worker."""

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from s3mr.adapters.aws.aws_errors import code_of, translated

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef

_PAGE_EVENTS: Final = 10_000  # CloudWatch: FilterLogEvents


@dataclass(frozen=True, slots=True)
class LogLine:
    """One logged line. ``fields`` is the line's whole JSON object."""

    at: float
    id: str
    group: str
    fields: dict[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Which lines to read: those of a job, of one of its phases, or of one task."""

    job_id: str
    phase: str | None = None
    task: int | None = None

    @property
    def wanted(self) -> dict[str, str | int]:
        asked = {"job_id": self.job_id, "phase": self.phase, "task": self.task}
        return {name: value for name, value in asked.items() if value is not None}


class FunctionLogs:
    """Reads log groups."""

    def __init__(self, client: "CloudWatchLogsClient") -> None:
        self._client = client

    def lines(
        self, groups: Sequence[str], about: About, *, start_at: float, stop_at: float | None = None
    ) -> Iterator[LogLine]:
        """Yield the lines of all ``groups`` ordered by time, from ``start_at`` on.

        A group that does not exist has no lines: Lambda creates some groups with a function's first line.
        """
        streams = [self._group(group, about, start_at=start_at, stop_at=stop_at) for group in groups]
        yield from heapq.merge(*streams, key=lambda line: line.at)

    def _group(self, group: str, about: About, *, start_at: float, stop_at: float | None) -> Iterator[LogLine]:
        until: dict[str, Any] = {} if stop_at is None else {"endTime": int(stop_at * 1000)}
        pages = self._client.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int(start_at * 1000),
            filterPattern=_pattern(about),
            interleaved=True,  # all streams ordered by time: always so on AWS, but not in other services
            PaginationConfig={"PageSize": _PAGE_EVENTS},
            **until,
        )
        seen: Counter[tuple[str, int, str]] = Counter()
        with translated(f"reading the logs in {group}"):
            try:
                for page in pages:
                    for event in page["events"]:
                        fields = _fields(event["message"])
                        if about.wanted.items() <= fields.items():
                            yield LogLine(event["timestamp"] / 1000, _id(event, seen), group, fields)
            except ClientError as error:
                if code_of(error) != "ResourceNotFoundException":
                    raise


def _id(event: "FilteredLogEventTypeDef", seen: "Counter[tuple[str, int, str]]") -> str:
    """Return an event's id. If the service does not set one, make it from the event's content and a counter."""
    if "eventId" in event:
        return event["eventId"]
    equal = (event.get("logStreamName", ""), event["timestamp"], event["message"])
    seen[equal] += 1
    return json.dumps([*equal, seen[equal]])


def _pattern(about: About) -> str:
    """Return the filter pattern for ``about``.

    Source: CloudWatch Logs user guide, "Using filter patterns to match terms in JSON log events".
    """
    parts = [f"($.{name} = {json.dumps(value)})" for name, value in about.wanted.items()]
    return f"{{ {' && '.join(parts)} }}"


def _fields(message: str) -> dict[str, Any]:
    """Return ``message`` as a JSON object, or an empty object if it is not one, like Lambda's own lines."""
    try:
        fields = json.loads(message)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
