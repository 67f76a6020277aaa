"""Jobs that live on, looked after from afar: waited for, described, ended, cleaned up. Over the honest fakes."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from s3mr.errors import JobFailedError, RequestError, S3mrError, TransientError
from s3mr.model.job import FailureKind, Phase
from s3mr.ports import Clock, JobStore, ObjectStore
from s3mr.remote.ending import Answer, cancel, clean
from s3mr.remote.status import newest, status_of
from s3mr.remote.watching import BLIND_S_MAX, wait
from tests.unit.test_coordinator import world
from tests.world import World, died


@dataclass
class Ticking:
    """A clock on whose time the world's coordinator and workers go on; at ``interrupted_at``, Ctrl-C."""

    one: World
    sleeps: list[float] = field(default_factory=list)
    works: bool = True
    interrupted_at: int | None = None

    def now(self) -> float:
        return self.one.clock.now()

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.one.clock.sleep(seconds)
        if len(self.sleeps) == self.interrupted_at:
            raise KeyboardInterrupt
        if self.works:
            self.one.work()
            self.one.tick()


@dataclass
class FarAway:
    """A `Home` of the world's jobs."""

    one: World
    time: Ticking
    objects: ObjectStore
    store: JobStore
    carried_on: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    option: str = "--stack far"

    @property
    def stack(self) -> "FarAway":
        return self

    @property
    def clock(self) -> Clock:
        return self.time

    def carry_on(self, job_id: str) -> None:
        self.carried_on.append(job_id)

    def bring_to_its_end(self, job_id: str) -> None:
        self.ended.append(job_id)


def far(one: World, **time: Any) -> FarAway:
    return FarAway(one, Ticking(one, **time), one.real_objects, one.real_store)


def submitted(**changes: Any) -> World:
    one = world()
    one.submit(**changes)
    return one


def failing() -> World:
    """A world in which every attempt dies."""
    one = submitted(attempts=1)
    one.tick()
    for request in list(one.sent):
        one.record(died(request))
    one.sent.clear()
    return one


class Deaf:
    """A store that is out of reach for some reads."""

    def __init__(self, store: JobStore, reads: range) -> None:
        self._store, self._reads, self._read = store, reads, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read_job(self, job_id: str) -> Any:
        self._read += 1
        if self._read in self._reads:
            raise TransientError("out of reach")
        return self._store.read_job(job_id)


def test_waiting_shows_the_job_again_and_again_and_returns_its_result() -> None:
    one = submitted()
    home = far(one)
    seen: list[tuple[Phase, int]] = []
    result = wait(home, one.job_id, watch=lambda job, running: seen.append((job.phase, running)))
    assert (result.job_id, result.parts, result.output) == (one.job_id, 3, "mem://out")
    assert result.counters.records_in == 6
    assert seen[0] == (Phase.MAP, 0)
    assert (Phase.MAP, one.state().spec.map_tasks) in seen
    assert seen[-1] == (Phase.SUCCEEDED, 0)
    assert home.carried_on == [one.job_id]


def test_a_job_that_fails_is_told_with_its_story_and_only_when_it_has_given_up_its_output() -> None:
    one = failing()
    with pytest.raises(JobFailedError, match="died"):
        wait(far(one), one.job_id)
    assert one.state().released


def test_a_job_that_fails_and_is_never_released_is_not_waited_for_for_ever() -> None:
    one = failing()
    while not one.tick().job.phase.terminal:
        pass
    assert not one.state().released
    with pytest.raises(JobFailedError):
        wait(far(one, works=False), one.job_id)


def test_a_job_that_was_cancelled_is_told_so() -> None:
    one = submitted()
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    with pytest.raises(JobFailedError, match="was cancelled"):
        wait(far(one), one.job_id)


def test_ctrl_c_ends_the_waiting_alone_and_says_how_to_find_the_job_again() -> None:
    one = submitted()
    with pytest.raises(KeyboardInterrupt) as raised:
        wait(far(one, interrupted_at=1), one.job_id)
    assert f"s3mr watch {one.job_id} --stack far" in str(raised.value)
    assert f"s3mr cancel {one.job_id} --stack far" in str(raised.value)
    assert not one.real_store.observe(one.job_id).cancel_requested  # type: ignore[union-attr]


def test_services_out_of_reach_for_a_while_are_waited_for() -> None:
    one = submitted()
    home = replace(far(one), store=Deaf(one.real_store, range(2, 12)))
    assert wait(home, one.job_id).job_id == one.job_id


def test_services_out_of_reach_for_long_end_the_waiting_and_the_job_goes_on() -> None:
    one = submitted()
    home = replace(far(one, works=False), store=Deaf(one.real_store, range(2, 10**9)))
    with pytest.raises(S3mrError, match=f"out of reach\njob {one.job_id} goes on") as raised:
        wait(home, one.job_id)
    assert not isinstance(raised.value, RequestError | TransientError | JobFailedError)
    assert sum(home.time.sleeps) > BLIND_S_MAX


def test_the_longer_a_job_takes_the_less_often_it_is_looked_at() -> None:
    one = submitted()
    home = far(one, works=False, interrupted_at=400)
    with pytest.raises(KeyboardInterrupt):
        wait(home, one.job_id)
    assert home.time.sleeps[0] == 1.0
    assert home.time.sleeps[-1] == 5.0
    assert home.time.sleeps == sorted(home.time.sleeps)


def test_no_job_of_that_id_is_refused_at_once() -> None:
    for action in (wait, status_of, cancel, clean):
        with pytest.raises(RequestError, match="no job nobody here: s3mr ls --stack far"):
            action(far(submitted()), "nobody")


def test_a_status_tells_all_phases_and_never_the_secret() -> None:
    one = submitted()
    maps = one.state().spec.map_tasks
    assert [(each.phase, each.tasks, each.done) for each in status_of(far(one), one.job_id).tasks] == [
        (Phase.MAP, maps, 0),
        (Phase.REDUCE, 3, 0),
    ]
    one.tick()
    request = one.sent.popleft()
    report = one.execute(request)
    one.record(report)
    one.record(one.execute(request))  # the same attempt, executed twice
    one.tick()
    told = status_of(far(one), one.job_id)
    assert (told.tasks[0].done, told.running, told.ignored, told.attempts) == (1, maps - 1, 1, maps)
    assert one.state().secret not in told.model_dump_json()
    one.finish()
    told = status_of(far(one), one.job_id)
    assert [(each.done, each.tasks) for each in told.tasks] == [(maps, maps), (3, 3)]
    assert (told.phase, told.running, told.ended_at) == (Phase.SUCCEEDED, 0, one.state().ended_at)
    assert told.deadline_at == told.created_at + 24 * 3600


def test_a_job_that_stopped_while_reducing_still_has_its_map_tasks_done() -> None:
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
    told = status_of(far(one), one.job_id)
    assert told.phase is Phase.FAILED
    assert [(each.phase, each.done, each.tasks) for each in told.tasks] == [
        (Phase.MAP, one.state().spec.map_tasks, one.state().spec.map_tasks),
        (Phase.REDUCE, 0, 3),
    ]
    assert told.failure is not None


def test_the_newest_jobs_come_first() -> None:
    one = submitted()
    first = one.job_id
    one.clock.sleep(5)
    one.submit(output="mem://other")
    assert [each.job_id for each in newest(far(one), 10)] == [one.job_id, first]
    assert [each.job_id for each in newest(far(one), 1)] == [one.job_id]


def test_a_wish_for_a_jobs_end_is_written_down_and_heard() -> None:
    one = submitted()
    home = far(one)
    assert cancel(home, one.job_id) is Answer.ASKED
    assert home.ended == [one.job_id]
    assert status_of(home, one.job_id).cancel_requested
    one.finish()
    assert cancel(home, one.job_id) is Answer.CANCELLED
    assert home.ended == [one.job_id]


def test_a_wish_comes_too_late_when_the_output_is_committed() -> None:
    one = submitted()
    one.finish()
    assert cancel(far(one), one.job_id) is Answer.TOO_LATE
    assert not one.real_store.observe(one.job_id).cancel_requested  # type: ignore[union-attr]


def test_a_job_that_has_failed_and_still_holds_something_gets_somebody_who_releases_it() -> None:
    one = failing()
    while not one.tick().job.phase.terminal:
        pass
    home = far(one)
    assert cancel(home, one.job_id) is Answer.FAILED
    assert home.ended == [one.job_id]


def test_nothing_is_cleaned_while_anybody_may_still_write() -> None:
    one = failing()
    home = far(one)
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


def test_cleaning_leaves_the_output_alone() -> None:
    one = submitted(keep_intermediate=True)
    one.finish()
    output = dict(one.folder.objects)
    assert one.real_objects.objects
    one.clock.time = one.state().last_lease_until + 1
    clean(far(one), one.job_id)
    assert not one.real_objects.objects
    assert one.real_store.read_job(one.job_id) is None
    assert newest(far(one), 10) == []
    assert one.folder.objects == output
