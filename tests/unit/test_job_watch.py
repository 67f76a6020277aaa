"""Waiting for remote jobs, over honest fakes."""

from dataclasses import replace
from pathlib import Path

import pytest

from s3mr.errors import DetachedError, JobFailedError, RequestError
from s3mr.model.job import Phase
from s3mr.remote.job_watch import BLIND_S_MAX, STILL_S_MAX, wait
from tests.unit.remote_home import UnreachableStore, failing, home_of, submitted


def test_waiting_shows_the_job_repeatedly_and_returns_its_result() -> None:
    one = submitted()
    home = home_of(one)
    seen: list[tuple[Phase, int]] = []
    result = wait(home, one.state(), watch=lambda job, running: seen.append((job.phase, running)))
    assert (result.job_id, result.parts, result.output) == (one.job_id, 3, "mem://out")
    assert result.counters.records_in == 6
    assert seen[0] == (Phase.MAP, 0)
    assert (Phase.MAP, one.state().spec.map_tasks) in seen
    assert seen[-1] == (Phase.SUCCEEDED, 0)
    assert len(home.carried_on) == 1


def test_a_failed_job_is_reported_with_its_history_once_it_has_released_its_output() -> None:
    one = failing()
    with pytest.raises(JobFailedError, match="died"):
        wait(home_of(one), one.state())
    assert one.state().released


def test_waiting_for_a_failed_job_that_is_never_released_ends() -> None:
    one = failing()
    while not one.tick().job.phase.terminal:
        pass
    assert not one.state().released
    with pytest.raises(JobFailedError):
        wait(home_of(one, works=False), one.state())


def test_a_cancelled_job_is_reported_as_cancelled() -> None:
    one = submitted()
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    with pytest.raises(JobFailedError, match="was cancelled"):
        wait(home_of(one), one.state())


def test_ctrl_c_ends_only_the_waiting_and_prints_how_to_find_the_job() -> None:
    one = submitted()
    with pytest.raises(KeyboardInterrupt) as raised:
        wait(home_of(one, interrupted_at=1), one.state())
    assert f"s3mr watch {one.job_id} --stack far" in str(raised.value)
    assert f"s3mr cancel {one.job_id} --stack far" in str(raised.value)
    assert not one.real_store.observe(one.job_id).cancel_requested  # type: ignore[union-attr]


def test_waiting_survives_services_that_are_unreachable_for_a_while() -> None:
    one = submitted()
    home = replace(home_of(one), store=UnreachableStore(one.real_store, range(1, 12)))
    assert wait(home, one.state()).job_id == one.job_id


def test_services_unreachable_for_long_end_the_waiting_but_not_the_job() -> None:
    one = submitted()
    home = replace(home_of(one, works=False), store=UnreachableStore(one.real_store, range(1, 10**9)))
    with pytest.raises(DetachedError, match=f"out of reach\njob {one.job_id} keeps running"):
        wait(home, one.state())
    assert sum(home.time.sleeps) > BLIND_S_MAX


def test_long_jobs_are_polled_less_often() -> None:
    one = submitted()
    home = home_of(one, works=False, interrupted_at=400)
    with pytest.raises(KeyboardInterrupt):
        wait(home, one.state())
    assert home.time.sleeps[0] == 1.0
    assert home.time.sleeps[-1] == 5.0
    assert home.time.sleeps == sorted(home.time.sleeps)


def test_a_clock_that_is_set_back_does_not_end_the_waiting() -> None:
    one = submitted()
    home = home_of(one)

    def set_back(_job: object, _running: int) -> None:
        one.clock.time -= 3600.0 if len(home.time.sleeps) == 1 else 0.0

    assert wait(home, one.state(), watch=set_back).job_id == one.job_id


def test_expired_credentials_end_the_waiting_but_not_the_job_and_print_how_to_find_it() -> None:
    one = submitted()
    home = replace(
        home_of(one),
        store=UnreachableStore(one.real_store, range(3, 10**9), RequestError("the credentials have expired")),
    )
    with pytest.raises(DetachedError) as raised:
        wait(home, one.state())
    assert str(raised.value).splitlines() == [
        "the credentials have expired",
        f"job {one.job_id} keeps running; to follow it, or to cancel it:",
        f"  s3mr watch {one.job_id} --stack far",
        f"  s3mr cancel {one.job_id} --stack far",
    ]


def test_a_job_that_is_cleaned_meanwhile_is_not_reported_as_running() -> None:
    one = submitted()
    job = one.state()
    one.real_store.erase(job)
    with pytest.raises(RequestError, match=f"no job {one.job_id} here") as raised:
        wait(home_of(one, works=False), job)
    assert "keeps running" not in str(raised.value)


def test_a_stalled_job_gets_a_new_coordinator_once_a_minute() -> None:
    one = submitted()
    home = home_of(one, works=False, interrupted_at=70)
    with pytest.raises(KeyboardInterrupt):
        wait(home, one.state())
    waits = [later - earlier for earlier, later in zip(home.carried_on, home.carried_on[1:], strict=False)]
    assert len(waits) >= 2
    assert all(STILL_S_MAX <= wait_s < STILL_S_MAX + 5 for wait_s in waits)


def test_a_job_that_makes_progress_keeps_its_coordinator() -> None:
    one = submitted()
    home = home_of(one, works=False, interrupted_at=140)
    shown: list[int] = []

    def watch(_job: object, _running: int) -> None:
        shown.append(1)
        if len(shown) % 10 == 0:
            one.real_store.replace(one.state().model_copy(update={"epoch": len(shown)}), epoch=one.state().epoch)

    with pytest.raises(KeyboardInterrupt):
        wait(home, one.state(), watch=watch)
    assert sum(home.time.sleeps) > 3 * STILL_S_MAX
    assert len(home.carried_on) == 1


def test_a_failed_job_that_still_holds_its_output_gets_a_coordinator_that_releases_it() -> None:
    one = failing()
    while not one.tick().job.phase.terminal:
        pass
    home = home_of(one)
    with pytest.raises(JobFailedError):
        wait(home, one.state())
    assert len(home.carried_on) == 1
    with pytest.raises(JobFailedError):
        wait(home, one.state())
    assert len(home.carried_on) == 1


def test_intermediates_that_are_not_kept_are_refused_before_waiting(tmp_path: Path) -> None:
    one = submitted()
    home = home_of(one)
    with pytest.raises(RequestError, match=r"--keep-intermediate: job .* was submitted without it"):
        wait(home, one.state(), keep_intermediate=tmp_path)
    assert not home.time.sleeps
    kept = submitted(keep_intermediate=True)
    wait(home_of(kept), kept.state(), keep_intermediate=tmp_path)
    assert list((tmp_path / "jobs" / kept.job_id / "map").iterdir())
