"""Remote jobs over honest fakes: describe, end and clean up."""

import pytest

from s3mr.errors import RequestError
from s3mr.model.job import FailureKind, Phase
from s3mr.remote.job_end import Answer, cancel, clean
from s3mr.remote.job_status import newest, status_of
from tests.unit.remote_home import failing, home_of, submitted
from tests.world import died


def test_an_unknown_job_id_is_refused_at_once() -> None:
    for action in (status_of, cancel, clean):
        with pytest.raises(RequestError, match="no job nobody here: list the jobs with s3mr ls --stack far"):
            action(home_of(submitted()), "nobody")


def test_a_status_shows_all_phases_and_never_the_secret() -> None:
    one = submitted()
    maps = one.state().spec.map_tasks
    assert [(each.phase, each.tasks, each.done) for each in status_of(home_of(one), one.job_id).tasks] == [
        (Phase.MAP, maps, 0),
        (Phase.REDUCE, 3, 0),
    ]
    one.tick()
    request = one.sent.popleft()
    report = one.execute(request)
    one.record(report)
    one.record(one.execute(request))  # the same attempt, executed twice
    one.tick()
    status = status_of(home_of(one), one.job_id)
    assert (status.tasks[0].done, status.running, status.ignored, status.attempts) == (1, maps - 1, 1, maps)
    assert one.state().secret not in status.model_dump_json()
    one.finish()
    status = status_of(home_of(one), one.job_id)
    assert [(each.done, each.tasks) for each in status.tasks] == [(maps, maps), (3, 3)]
    assert (status.phase, status.running, status.ended_at) == (Phase.SUCCEEDED, 0, one.state().ended_at)
    assert status.deadline_at == status.created_at + 24 * 3600


def test_a_job_that_stopped_during_reduce_still_has_its_map_tasks_done() -> None:
    one = submitted(attempts=1)
    one.tick()
    one.work()
    while one.state().phase is Phase.MAP:
        one.clock.sleep(1)
        one.tick()
    one.tick()
    one.record(died(one.sent.popleft(), FailureKind.REQUEST))
    one.sent.clear()
    while not one.tick().over:
        pass
    status = status_of(home_of(one), one.job_id)
    assert status.phase is Phase.FAILED
    assert [(each.phase, each.done, each.tasks) for each in status.tasks] == [
        (Phase.MAP, one.state().spec.map_tasks, one.state().spec.map_tasks),
        (Phase.REDUCE, 0, 3),
    ]
    assert status.failure is not None


def test_the_newest_jobs_are_listed_first() -> None:
    one = submitted()
    first = one.job_id
    one.clock.sleep(5)
    one.submit(output="mem://other")
    assert [each.job_id for each in newest(home_of(one), 10)] == [one.job_id, first]
    assert [each.job_id for each in newest(home_of(one), 1)] == [one.job_id]


def test_a_cancel_request_is_stored_and_obeyed() -> None:
    one = submitted()
    home = home_of(one)
    assert cancel(home, one.job_id) is Answer.ASKED
    assert home.ended == [one.job_id]
    assert status_of(home, one.job_id).cancel_requested
    one.finish()
    assert cancel(home, one.job_id) is Answer.CANCELLED
    assert home.ended == [one.job_id]


def test_a_cancel_request_after_the_commit_is_too_late() -> None:
    one = submitted()
    one.finish()
    assert cancel(home_of(one), one.job_id) is Answer.TOO_LATE
    assert not one.real_store.observe(one.job_id).cancel_requested  # type: ignore[union-attr]


def test_a_failed_job_that_still_holds_its_output_gets_a_coordinator_to_release_it() -> None:
    one = failing()
    while not one.tick().job.phase.terminal:
        pass
    home = home_of(one)
    assert cancel(home, one.job_id) is Answer.FAILED
    assert home.ended == [one.job_id]


def test_a_job_is_not_cleaned_while_attempts_may_still_write() -> None:
    one = failing()
    home = home_of(one)
    with pytest.raises(RequestError, match="has not ended"):
        clean(home, one.job_id)
    while not one.tick().job.phase.terminal:
        pass
    with pytest.raises(RequestError, match="releasing what it holds"):
        clean(home, one.job_id)
    one.finish()
    with pytest.raises(RequestError, match=r"may still write until \d\d:\d\d:\d\d"):
        clean(home, one.job_id)
    assert one.real_objects.objects


def test_cleaning_keeps_the_output() -> None:
    one = submitted(keep_intermediate=True)
    one.finish()
    output = dict(one.folder.objects)
    assert one.real_objects.objects
    one.clock.time = one.state().last_lease_until + 1
    clean(home_of(one), one.job_id)
    assert not one.real_objects.objects
    assert one.real_store.read_job(one.job_id) is None
    assert newest(home_of(one), 10) == []
    assert one.folder.objects == output


@pytest.mark.parametrize("coordinated", [True, False, None])
def test_a_status_shows_if_a_coordinator_runs_while_one_is_needed(*, coordinated: bool | None) -> None:
    one = submitted()
    home = home_of(one)
    home.coordinated = coordinated
    assert status_of(home, one.job_id).coordinator is coordinated
    assert newest(home, 1)[0].coordinator is None
    one.finish()
    assert status_of(home, one.job_id).coordinator is None
