"""Jobs that live on, waited for from afar. Over the honest fakes."""

from dataclasses import replace
from pathlib import Path

import pytest

from s3mr.errors import DetachedError, JobFailedError, RequestError
from s3mr.model.job import Phase
from s3mr.remote.job_watch import BLIND_S_MAX, STILL_S_MAX, wait
from tests.unit.far_away import Deaf, failing, far, submitted


def test_waiting_shows_the_job_again_and_again_and_returns_its_result() -> None:
    one = submitted()
    home = far(one)
    seen: list[tuple[Phase, int]] = []
    result = wait(home, one.state(), watch=lambda job, running: seen.append((job.phase, running)))
    assert (result.job_id, result.parts, result.output) == (one.job_id, 3, "mem://out")
    assert result.counters.records_in == 6
    assert seen[0] == (Phase.MAP, 0)
    assert (Phase.MAP, one.state().spec.map_tasks) in seen
    assert seen[-1] == (Phase.SUCCEEDED, 0)
    assert len(home.carried_on) == 1


def test_a_job_that_fails_is_told_with_its_story_and_only_when_it_has_given_up_its_output() -> None:
    one = failing()
    with pytest.raises(JobFailedError, match="died"):
        wait(far(one), one.state())
    assert one.state().released


def test_a_job_that_fails_and_is_never_released_is_not_waited_for_for_ever() -> None:
    one = failing()
    while not one.tick().job.phase.terminal:
        pass
    assert not one.state().released
    with pytest.raises(JobFailedError):
        wait(far(one, works=False), one.state())


def test_a_job_that_was_cancelled_is_told_so() -> None:
    one = submitted()
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    with pytest.raises(JobFailedError, match="was cancelled"):
        wait(far(one), one.state())


def test_ctrl_c_ends_the_waiting_alone_and_says_how_to_find_the_job_again() -> None:
    one = submitted()
    with pytest.raises(KeyboardInterrupt) as raised:
        wait(far(one, interrupted_at=1), one.state())
    assert f"s3mr watch {one.job_id} --stack far" in str(raised.value)
    assert f"s3mr cancel {one.job_id} --stack far" in str(raised.value)
    assert not one.real_store.observe(one.job_id).cancel_requested  # type: ignore[union-attr]


def test_services_out_of_reach_for_a_while_are_waited_for() -> None:
    one = submitted()
    home = replace(far(one), store=Deaf(one.real_store, range(1, 12)))
    assert wait(home, one.state()).job_id == one.job_id


def test_services_out_of_reach_for_long_end_the_waiting_and_the_job_goes_on() -> None:
    one = submitted()
    home = replace(far(one, works=False), store=Deaf(one.real_store, range(1, 10**9)))
    with pytest.raises(DetachedError, match=f"out of reach\njob {one.job_id} keeps running"):
        wait(home, one.state())
    assert sum(home.time.sleeps) > BLIND_S_MAX


def test_the_longer_a_job_takes_the_less_often_it_is_looked_at() -> None:
    one = submitted()
    home = far(one, works=False, interrupted_at=400)
    with pytest.raises(KeyboardInterrupt):
        wait(home, one.state())
    assert home.time.sleeps[0] == 1.0
    assert home.time.sleeps[-1] == 5.0
    assert home.time.sleeps == sorted(home.time.sleeps)


def test_a_clock_that_is_set_back_does_not_end_the_waiting() -> None:
    one = submitted()
    home = far(one)

    def set_back(_job: object, _running: int) -> None:
        one.clock.time -= 3600.0 if len(home.time.sleeps) == 1 else 0.0

    assert wait(home, one.state(), watch=set_back).job_id == one.job_id


def test_credentials_that_expire_end_the_waiting_with_how_to_find_the_job_again_and_the_job_goes_on() -> None:
    one = submitted()
    home = replace(far(one), store=Deaf(one.real_store, range(3, 10**9), RequestError("the credentials have expired")))
    with pytest.raises(DetachedError) as raised:
        wait(home, one.state())
    assert str(raised.value).splitlines() == [
        "the credentials have expired",
        f"job {one.job_id} keeps running; to follow it, or to cancel it:",
        f"  s3mr watch {one.job_id} --stack far",
        f"  s3mr cancel {one.job_id} --stack far",
    ]


def test_a_job_that_is_cleaned_away_meanwhile_is_not_said_to_go_on() -> None:
    one = submitted()
    job = one.state()
    one.real_store.erase(job)
    with pytest.raises(RequestError, match=f"no job {one.job_id} here") as raised:
        wait(far(one, works=False), job)
    assert "keeps running" not in str(raised.value)


def test_a_job_that_stands_still_is_given_a_coordinator_again_once_a_minute() -> None:
    one = submitted()
    home = far(one, works=False, interrupted_at=70)
    with pytest.raises(KeyboardInterrupt):
        wait(home, one.state())
    waits = [later - earlier for earlier, later in zip(home.carried_on, home.carried_on[1:], strict=False)]
    assert len(waits) >= 2
    assert all(STILL_S_MAX <= wait_s < STILL_S_MAX + 5 for wait_s in waits)


def test_a_job_that_goes_on_is_left_to_the_coordinator_that_it_has() -> None:
    one = submitted()
    home = far(one, works=False, interrupted_at=140)
    shown: list[int] = []

    def watch(_job: object, _running: int) -> None:
        shown.append(1)
        if len(shown) % 10 == 0:
            one.real_store.replace(one.state().model_copy(update={"epoch": len(shown)}), epoch=one.state().epoch)

    with pytest.raises(KeyboardInterrupt):
        wait(home, one.state(), watch=watch)
    assert sum(home.time.sleeps) > 3 * STILL_S_MAX
    assert len(home.carried_on) == 1


def test_a_job_that_has_failed_and_still_holds_something_is_given_a_coordinator_that_releases_it() -> None:
    one = failing()
    while not one.tick().job.phase.terminal:
        pass
    home = far(one)
    with pytest.raises(JobFailedError):
        wait(home, one.state())
    assert len(home.carried_on) == 1
    with pytest.raises(JobFailedError):
        wait(home, one.state())
    assert len(home.carried_on) == 1


def test_intermediates_that_were_not_to_be_kept_are_refused_before_any_waiting(tmp_path: Path) -> None:
    one = submitted()
    home = far(one)
    with pytest.raises(RequestError, match=r"--keep-intermediate: job .* was submitted without it"):
        wait(home, one.state(), keep_intermediate=tmp_path)
    assert not home.time.sleeps
    kept = submitted(keep_intermediate=True)
    wait(far(kept), kept.state(), keep_intermediate=tmp_path)
    assert list((tmp_path / "jobs" / kept.job_id / "map").iterdir())
