"""Taking over a job over honest fakes: the work of a dead process continues, and two coordinators do no harm."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from s3mr import limits
from s3mr.adapters.memory.memory_data import MemoryOutput
from s3mr.adapters.memory.memory_stores import MemoryJobStore
from s3mr.api import Job
from s3mr.coordinator.relaunch import launch_again
from s3mr.coordinator.resumer import Resumer
from s3mr.errors import RequestError, S3mrError, TransientError
from s3mr.local.driver import TROUBLE_MAX, NoView, Run
from s3mr.local.prefetch import Prefetch
from s3mr.model.job import JobState, Phase
from tests.claims import holder_of
from tests.unit.resumed_jobs import finished, resumer
from tests.unit.word_count import TEXT, expected_counts, total, words
from tests.world import Killed, World, died


def abandoned(one: World, *, reduce: bool = False) -> None:
    """Kill the process of the job and its workers while their attempts run."""
    one.submit()
    one.tick()
    if reduce:
        while one.state().phase is not Phase.REDUCE or not one.sent:
            one.work()
            one.tick()
    one.record(one.execute(one.sent.popleft()))
    one.sent.clear()


@pytest.mark.parametrize("reduce", [False, True])
def test_a_job_whose_process_died_continues_at_once_and_loses_no_attempt(*, reduce: bool) -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one, reduce=reduce)
    died_at, left = one.clock.now(), one.state().attempts
    assert resumer(one).take_up(one.job_id).spec.job_id == one.job_id
    launch_again(one.ticker(), one.job_id)
    assert one.state().attempts == left
    assert {request.attempt for request in one.sent} == {1}
    state = finished(one)
    assert (state.attempts, state.retried) == (state.spec.map_tasks + state.spec.reducers, 0)
    assert one.clock.now() - died_at < limits.EVENT_AGE_S, "no lease was waited for"


def test_a_job_loses_no_attempt_even_long_after_its_process_died() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)
    one.clock.sleep(limits.DEADLINE_S / 2)
    resumer(one).take_up(one.job_id)
    launch_again(one.ticker(), one.job_id)
    assert one.state().last_lease_until > one.clock.now() + one.state().spec.task_timeout_s
    assert finished(one).retried == 0


def test_a_partly_recorded_win_is_found_at_once() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    one.submit()
    one.tick()
    report = one.execute(one.sent.popleft())
    assert report.manifest is not None
    one.real_store.commit(one.state(), report.manifest)  # its recorder dies before it forgets the attempt
    one.sent.clear()
    launch_again(one.ticker(), one.job_id)
    seen = one.real_store.observe(one.job_id)
    assert seen is not None
    assert report.task not in [live.task for live in seen.live]
    assert report.task not in [request.task for request in one.sent]
    finished(one)


def test_attempts_that_a_dead_tick_logged_but_did_not_launch_are_launched() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    one.submit()
    one.accepts_max = 2
    with pytest.raises(Exception, match="429"):
        one.tick()
    one.sent.clear()
    one.accepts_max = None
    one.clock.sleep(10_000)
    launch_again(one.ticker(), one.job_id)
    assert sorted(request.task for request in one.sent) == list(range(one.state().spec.map_tasks))
    assert finished(one).retried == 0


def test_a_relaunched_backup_is_still_a_backup_and_costs_no_attempt() -> None:
    one = World(Job(map=words, reduce=total), {f"{number:02d}": b"a b c\n" for number in range(12)})
    one.submit(split_size=1, attempts=2)
    one.tick()
    straggler = one.sent.popleft()
    one.work()
    one.clock.sleep(limits.BACKUP_LONGER_S + 1)
    one.tick()
    one.sent.clear()
    one.accepts_max = 0  # so that the log remains afterwards
    with pytest.raises(TransientError):
        launch_again(one.ticker(), one.job_id)
    one.accepts_max = None
    launching, seen = one.state().launching, one.real_store.observe(one.job_id)
    assert launching is not None
    assert seen is not None
    marks = [(straggler.task, 1, False), (straggler.task, 2, True)]
    assert [(logged.task, logged.attempt, logged.backup) for logged in launching.attempts] == marks
    assert [(live.task, live.attempt, live.backup) for live in seen.live] == marks
    launch_again(one.ticker(), one.job_id)
    while one.sent:
        one.record(died(one.sent.popleft()))
    state = one.finish()
    assert (state.phase, state.retried) == (Phase.SUCCEEDED, 1)


def test_leases_include_the_time_that_attempts_wait_for_a_free_worker() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)
    one.capacity = 1
    left = len(one.real_store.observe(one.job_id).live)  # type: ignore[union-attr]
    assert left > 2
    launch_again(one.ticker(), one.job_id)
    for _ in range(left):
        one.clock.sleep(limits.EVENT_AGE_S)
        one.record(one.execute(one.sent.popleft()))
        one.tick()
    assert one.state().retried == 0


def test_a_relaunch_that_dies_at_any_call_can_be_repeated() -> None:
    call = 0
    while True:
        call += 1
        one = World(Job(map=words, reduce=total), TEXT)
        abandoned(one)
        one.switch.calls, one.switch.at = 0, call
        try:
            launch_again(one.ticker(), one.job_id)
        except Killed:
            one.switch.at = None
            one.sent.clear()
            launch_again(one.ticker(), one.job_id)
            assert finished(one).retried == 0
        else:
            break
    assert call > 5


def test_taking_over_a_job_that_ends_at_that_moment_is_not_an_error() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)

    class Late:
        def check(self, **_: Any) -> None:
            launch_again(one.ticker(), one.job_id)
            finished(one)
            MemoryOutput(one.folder, one.job_id).check(deadline_s=1)

    late: Any = Late()
    mine = resumer(one)
    Resumer(replace(mine.submitter, output_of=lambda _: late), mine.parallel).take_up(one.job_id)
    assert one.state().phase is Phase.SUCCEEDED


def test_a_claim_made_after_another_process_ended_the_job_is_released_by_the_next_tick() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)

    class ClaimedLate(MemoryJobStore):
        def __getattribute__(self, name: str) -> Any:
            return getattr(one.real_store, name) if name != "claim_output" else super().__getattribute__(name)

        def claim_output(self, output: str, *, job_id: str) -> str | None:
            launch_again(one.ticker(), job_id)
            one.finish()
            return one.real_store.claim_output(output, job_id=job_id)

    mine = resumer(one)
    Resumer(replace(mine.submitter, store=ClaimedLate()), mine.parallel).take_up(one.job_id)
    assert one.state().released
    assert one.real_store._claims == {"mem://out": one.job_id}
    assert holder_of(one.real_store, "mem://out") is None
    one.tick()
    assert not one.real_store._claims


def test_attempts_of_another_coordinator_are_not_relaunched() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)

    class OvertakenStore:
        def __getattr__(self, name: str) -> Any:
            if name == "replace":
                one.tick()
                one.work()
                one.tick()
            return getattr(one.store, name)

    store: Any = OvertakenStore()
    ticker = one.ticker()
    with pytest.raises(TransientError, match=f"another command is driving job {one.job_id}"):
        launch_again(replace(ticker, store=store, launcher=replace(ticker.launcher, store=store)), one.job_id)
    assert not one.sent
    launch_again(one.ticker(), one.job_id)
    finished(one)


def test_a_late_write_of_the_dead_process_does_not_prevent_the_relaunch() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)
    died_at = one.clock.now()
    state = driven(one, late_writes=1)
    assert (state.phase, state.retried) == (Phase.SUCCEEDED, 0)
    assert one.clock.now() - died_at < limits.EVENT_AGE_S, "no lease was waited for"


def test_a_job_that_another_command_keeps_writing_is_left_to_that_command() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)
    with pytest.raises(S3mrError, match=f"another command is driving job {one.job_id}"):
        driven(one, late_writes=TROUBLE_MAX + 1)
    assert not one.sent
    finished(one)


def driven(one: World, *, late_writes: int) -> JobState:
    """Take over the job as a command does. After each look, another process writes the job."""
    stack = SimpleNamespace(clock=one.clock, store=one.real_store, objects=one.real_objects)
    cloud: Any = SimpleNamespace(stack=stack, lasting=False)
    cloud.job_is_recorded = cloud.check = lambda: None
    cloud.job_is_over = lambda _spec: None

    def wait(wait_s: float, **_enough: int) -> None:
        if not one.work():
            one.clock.sleep(max(wait_s, 0.01))

    pool: Any = SimpleNamespace(running=0, left=0, pace=Prefetch(1), close=lambda: None, wait=wait)
    ticker = replace(one.ticker(), store=StoreWithLateWrites(one.real_store, late_writes))
    return Run(cloud, pool, ticker, one.job_id, NoView()).to_its_end(lambda: None, again=True)


class StoreWithLateWrites:
    """A store in which another coordinator writes right after each of the first looks at the job."""

    def __init__(self, store: Any, number: int) -> None:
        self._store, self._left = store, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def observe(self, job_id: str) -> Any:
        seen = self._store.observe(job_id)
        if self._left:
            self._left -= 1
            assert self._store.replace(seen.job.model_copy(update={"epoch": seen.job.epoch + 1}), epoch=seen.job.epoch)
        return seen


def test_taking_over_an_ending_job_launches_nothing() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    launch_again(one.ticker(), one.job_id)
    assert not one.sent
    assert one.finish().phase is Phase.CANCELLED


def test_a_partly_submitted_job_is_taken_over_only_if_its_output_is_free() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    first = one.submit()
    one.real_store.release_output("mem://out", job_id=first.spec.job_id)  # it died before it claimed the output
    rival = one.submit()
    with pytest.raises(RequestError, match=rival.spec.job_id):
        resumer(one).take_up(first.spec.job_id)
    finished(one)


def test_two_concurrent_coordinators_bring_a_job_to_one_end() -> None:
    """Each has its own workers and does not know of the other; they alternate at every step."""
    one = World(Job(map=words, reduce=total), TEXT)
    abandoned(one)
    mine, theirs = one.ticker(), one.ticker()
    for ticker in (mine, theirs):
        resumer(one).take_up(one.job_id)
        launch_again(ticker, one.job_id)
    over = [False, False]
    for _ in range(200):
        for number, ticker in enumerate((mine, theirs)):
            over[number] = ticker.tick(one.job_id).over
            if one.sent:
                one.record(one.execute(one.sent.popleft()))
        if all(over):
            break
    state = finished(one)
    assert (state.attempts, state.retried) == (state.spec.map_tasks + state.spec.reducers, 0)


@pytest.mark.parametrize("call", range(1, 60))
def test_a_coordinator_that_pauses_at_any_call_and_continues_after_another_has_finished_does_no_harm(call: int) -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    one.submit()
    slow = one.ticker()

    class PausingPort:
        """A port whose caller is overtaken during one of its calls."""

        calls = 0

        def __init__(self, port: Any) -> None:
            self._port = port

        def __getattr__(self, name: str) -> Any:
            value = getattr(self._port, name)
            return (lambda *args, **kwargs: self._call(value, *args, **kwargs)) if callable(value) else value

        def _call(self, value: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            PausingPort.calls += 1
            if PausingPort.calls == call:
                assert one.finish().phase is Phase.SUCCEEDED
            return value(*args, **kwargs)

    store, objects = PausingPort(slow.store), PausingPort(slow.objects)
    launcher = replace(slow.launcher, store=store, objects=objects)
    paused = replace(slow, store=store, objects=objects, launcher=launcher)
    while not paused.tick(one.job_id).over:
        one.work()
    one.sent.clear()
    assert sorted(one.output().splitlines()) == expected_counts()
    assert not one.folder.uploads
