"""Following logs over fakes: a clock that the test controls, and a CloudWatch that is late."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from s3mr.adapters.aws.function_logs import About, LogLine
from s3mr.model.job import Phase
from s3mr.remote.job_home import Deployment
from s3mr.remote.job_logs import FOLLOW_S, LAST_S, log_lines
from tests.unit.remote_home import RemoteHome, home_of, submitted


@dataclass
class LateLogs:
    """Shows each line ``late_s`` after it was logged."""

    one: RemoteHome
    late_s: float
    logged: list[LogLine] = field(default_factory=list)
    reads: int = 0

    def log(self, text: str) -> None:
        fields = {"message": text, "stream": "user"}
        self.logged.append(LogLine(self.one.clock.now(), text, "group", fields))

    def lines(self, _groups: Sequence[str], _about: About, *, start_at: float, **_more: Any) -> Iterator[LogLine]:
        self.reads += 1
        now = self.one.clock.now()
        yield from [one for one in self.logged if start_at <= one.at <= now - self.late_s]


@dataclass
class StackWithLogs:
    """A remote stack with logs."""

    stack: RemoteHome
    logs: LateLogs

    def log_group(self, function: str) -> str:
        return function


def followed(late_s: float) -> tuple[list[str], StackWithLogs, float]:
    """Return the lines seen of a job that logs before and at its end, and how long it was followed after its end."""
    home = home_of(submitted())
    logs = LateLogs(home, late_s)
    logs.log("first")
    ended_at = None
    at = StackWithLogs(home, logs)
    ticking = home.time.sleep

    def sleep(seconds: float) -> None:
        nonlocal ended_at
        ticking(seconds)
        if ended_at is None and home.one.state().phase.terminal:
            ended_at = home.clock.now()
            logs.log("last")

    home.time.sleep = sleep  # type: ignore[method-assign]
    lines = log_lines(cast("Deployment", at), About(job_id=home.one.job_id), follow=True)
    seen = [line.fields["message"] for line in lines]
    assert ended_at is not None
    assert home.one.state().phase is Phase.SUCCEEDED
    return seen, at, home.clock.now() - ended_at


def test_late_lines_are_shown_even_if_the_job_has_ended_meanwhile() -> None:
    seen, _, waited_s = followed(2 * FOLLOW_S)
    assert seen == ["first", "last"]
    assert LAST_S <= waited_s <= LAST_S + 2 * FOLLOW_S


def test_following_ends_soon_after_the_job_even_if_lines_are_missing() -> None:
    seen, at, _ = followed(1000.0)
    assert seen == []
    assert at.logs.reads < 50


def test_logs_of_an_ended_job_are_read_once() -> None:
    home = home_of(submitted())
    while home.one.state().ended_at is None:
        home.time.sleep(1.0)
    logs = LateLogs(home, 0.0)
    slept = len(home.time.sleeps)
    assert not list(
        log_lines(cast("Deployment", StackWithLogs(home, logs)), About(job_id=home.one.job_id), follow=True)
    )
    assert (logs.reads, len(home.time.sleeps)) == (1, slept)
