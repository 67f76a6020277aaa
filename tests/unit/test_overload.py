"""How long a command retries requests to an overloaded service, and what it tells the user."""

from typing import Any

import pytest

from s3mr import limits
from s3mr.adapters.aws.overload import PAUSE_S_MAX, SILENCE_S, OverloadRetries


class Storm:
    """Requests to a busy service, on a clock that only the pauses advance."""

    def __init__(self, *, luck: float = 0.5) -> None:
        self.now = 1000.0
        self.messages: list[str] = []
        self.patience = OverloadRetries(self.messages.append, now=lambda: self.now, random=lambda: luck)

    def request(self, status: int = 503, code: str = "SlowDown", *, answered_at: float | None = None) -> float:
        """Send one request until it is answered or given up; return how long that took."""
        started, context, attempts = self.now, dict[str, Any](), 0
        while answered_at is None or self.now < answered_at:
            attempts += 1
            pause_s = self.patience.pause_s(status, code, attempts=attempts, context=context)
            if pause_s is None:
                return self.now - started
            assert 0 < pause_s <= PAUSE_S_MAX
            self.now += pause_s
        self.patience.pause_s(200, "", attempts=attempts + 1, context=context)
        return self.now - started


@pytest.mark.parametrize("luck", [0.0, 0.5, 0.999])
@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "InternalError"), (503, "SlowDown"), (502, ""), (429, ""), (400, "ProvisionedThroughputExceededException")],
)
def test_an_overload_of_two_minutes_is_survived_and_reported_once_a_minute(status: int, code: str, luck: float) -> None:
    storm = Storm(luck=luck)
    assert storm.request(status, code, answered_at=storm.now + 121) >= 121
    assert 1 <= len(storm.messages) <= 1 + 121 / SILENCE_S
    assert (code or str(status)) in storm.messages[0]


def test_an_endless_overload_is_given_up_and_later_requests_do_not_wait_again() -> None:
    storm = Storm()
    assert limits.BUSY_S < storm.request() < limits.BUSY_S + PAUSE_S_MAX
    assert storm.request() == 0


def test_after_a_good_response_a_new_overload_gets_the_full_time() -> None:
    storm = Storm()
    storm.request()
    storm.request(answered_at=storm.now)
    assert storm.request() > limits.BUSY_S


def test_a_request_that_always_fails_among_successful_ones_is_given_up() -> None:
    storm, context = Storm(), dict[str, Any]()
    for attempt in range(1, 1000):
        pause_s = storm.patience.pause_s(500, "InternalError", attempts=attempt, context=context)
        if pause_s is None:
            break
        storm.now += pause_s
        storm.request(answered_at=storm.now)
    assert limits.BUSY_S < storm.now - 1000 < limits.BUSY_S + PAUSE_S_MAX


@pytest.mark.parametrize(("status", "code"), [(200, ""), (404, "NoSuchKey"), (403, "AccessDenied"), (412, "")])
def test_other_responses_are_left_to_botocore_and_not_reported(status: int, code: str) -> None:
    storm = Storm()
    assert (storm.request(status, code), storm.messages) == (0, [])


def test_retries_end_with_the_command() -> None:
    storm = Storm()
    storm.patience.end()
    assert storm.request() == 0


def test_a_single_busy_response_is_not_reported() -> None:
    storm = Storm()
    storm.request(answered_at=storm.now + 0.01)
    assert storm.messages == []


@pytest.mark.parametrize("code", ["\x1b[2J", "Slow\nDown", "Sl\u202eow", "é"])
def test_an_error_code_is_only_printed_if_it_looks_like_one(code: str) -> None:
    storm = Storm()
    storm.request(503, code, answered_at=storm.now + 10)
    assert storm.messages == [f"a service is busy (503): trying again for up to {limits.BUSY_S:.0f} s"]
