"""What doctor makes of what it has found."""

import pytest

from s3mr.adapters.examining import Concurrency, InvokeSettings
from s3mr.errors import S3mrError
from s3mr.remote.doctor import check_settings, room


def test_an_account_with_room_for_all_attempts_is_well() -> None:
    assert "room for 100 executions" in room(Concurrency(limit=1000, unreserved=100), attempts_max=100)


def test_an_account_with_less_room_is_not_and_the_numbers_that_would_do_are_named() -> None:
    with pytest.raises(S3mrError, match=r"900 attempts at once .* 1,000 executions 899 are not reserved") as found:
        room(Concurrency(limit=1000, unreserved=899), attempts_max=900)
    assert "WorkersMax=899" in getattr(found.value, "advice", "")


@pytest.mark.parametrize(
    "settings",
    [
        InvokeSettings(None, None, None, None),
        InvokeSettings(retries_max=2, event_age_s_max=60, on_success="arn:record:1", on_failure="arn:record:1"),
        InvokeSettings(retries_max=0, event_age_s_max=60, on_success="arn:record:1", on_failure=None),
        InvokeSettings(retries_max=0, event_age_s_max=60, on_success="arn:record:1", on_failure="arn:record:2"),
    ],
)
def test_a_worker_whose_reports_would_get_lost_is_found(settings: InvokeSettings) -> None:
    with pytest.raises(S3mrError, match="arn:map:1 has lost its asynchronous settings"):
        check_settings("arn:map:1", settings)


def test_a_worker_that_reports_all_to_one_recorder_and_is_not_tried_again_is_well() -> None:
    recorder = {"on_success": "arn:record:1", "on_failure": "arn:record:1"}
    check_settings("arn:map:1", InvokeSettings(retries_max=0, event_age_s_max=60, **recorder))
