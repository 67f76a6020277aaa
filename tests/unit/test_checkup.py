"""How doctor judges what it has found."""

import pytest

from s3mr.adapters.aws.probes import Concurrency, InvokeSettings
from s3mr.errors import S3mrError
from s3mr.remote.checkup import check_settings, room

ACCOUNT = Concurrency(limit=1000, unreserved=100)
RESERVED: dict[str, int | None] = {"MapReservedConcurrency": None, "ReduceReservedConcurrency": None}


def test_an_account_with_capacity_for_all_attempts_passes() -> None:
    assert "room for 100 executions" in room(ACCOUNT, attempts_max=100, reserved=RESERVED)


def test_an_account_with_less_capacity_fails_and_sufficient_numbers_are_named() -> None:
    with pytest.raises(S3mrError, match=r"101 attempts at once .* 100 of the account's 1,000 concurrent") as found:
        room(ACCOUNT, attempts_max=101, reserved=RESERVED)
    advice = getattr(found.value, "advice", "")
    assert "AWS Lambda, Concurrent executions, L-B99A9384" in advice
    assert "WorkersMax=100" in advice


def test_concurrency_reserved_for_workers_counts_regardless_of_the_accounts_rest() -> None:
    reserved = {"MapReservedConcurrency": 900, "ReduceReservedConcurrency": 900}
    assert "room for 900 executions" in room(ACCOUNT, attempts_max=900, reserved=reserved)
    with pytest.raises(S3mrError, match="100 of the account's"):
        room(ACCOUNT, attempts_max=900, reserved={**reserved, "ReduceReservedConcurrency": None})


def test_concurrency_reserved_for_a_worker_is_also_its_limit() -> None:
    with pytest.raises(S3mrError, match="ReduceReservedConcurrency is 20: ") as found:
        room(ACCOUNT, attempts_max=50, reserved={**RESERVED, "ReduceReservedConcurrency": 20})
    assert getattr(found.value, "advice", "").startswith("deploy with a higher ReduceReservedConcurrency, ")


@pytest.mark.parametrize(
    ("unreserved", "reduce", "why", "advice"),
    [
        (100, 0, "ReduceReservedConcurrency is 0: no attempt", "deploy with a higher ReduceReservedConcurrency"),
        (0, None, "0 of the account's 1,000 concurrent executions are not reserved: no attempt", "raise the account's"),
    ],
)
def test_if_nothing_can_run_the_advice_is_not_to_use_zero_workers(
    unreserved: int, reduce: int | None, why: str, advice: str
) -> None:
    with pytest.raises(S3mrError, match=why) as found:
        room(Concurrency(1000, unreserved), attempts_max=50, reserved={**RESERVED, "ReduceReservedConcurrency": reduce})
    advised = getattr(found.value, "advice", "")
    assert advised.startswith(advice)
    assert "=0" not in advised
    assert "--workers" not in advised


@pytest.mark.parametrize(
    "settings",
    [
        InvokeSettings(None, None, None, None),
        InvokeSettings(retries_max=2, event_age_s_max=60, on_success="arn:record:1", on_failure="arn:record:1"),
        InvokeSettings(retries_max=0, event_age_s_max=60, on_success="arn:record:1", on_failure=None),
        InvokeSettings(retries_max=0, event_age_s_max=60, on_success="arn:record:1", on_failure="arn:record:2"),
    ],
)
def test_a_worker_whose_reports_would_be_lost_is_reported(settings: InvokeSettings) -> None:
    with pytest.raises(S3mrError, match="arn:map:1 has lost its asynchronous settings"):
        check_settings("arn:map:1", settings)


def test_a_worker_with_one_recorder_and_without_retries_passes() -> None:
    recorder = {"on_success": "arn:record:1", "on_failure": "arn:record:1"}
    check_settings("arn:map:1", InvokeSettings(retries_max=0, event_age_s_max=60, **recorder))
