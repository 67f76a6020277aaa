"""The coordinator as AWS calls it: rounds of ticks, deadlines, a cap on attempts, an external stop, a last sweep."""

from typing import Any

import pytest
from pydantic import ValidationError

from s3mr import limits
from s3mr.api import Job
from s3mr.coordinator.tick_round import drive, perform
from s3mr.errors import RequestError, TransientError
from s3mr.model.job import Failure, FailureKind, Phase
from s3mr.model.report import TaskRequest
from tests.world import Killed, World

COUNT = Job(map=lambda _, line: [(word, 1) for word in line.split()], reduce=lambda key, ones: [(key, sum(ones))])
KEEP = Job(map=lambda source, line: [(source, line)])


def world(job: Job = COUNT, **changes: object) -> World:
    one = World(job, {f"{number}.txt": b"to be\nor not\n" for number in range(6)})
    one.submit(**changes)
    return one


def test_a_round_ticks_for_a_while_and_then_asks_to_be_called_again() -> None:
    one = world()
    started_at = one.clock.now()
    answer = perform(one.ticker(), {"job_id": one.job_id, "round": 3}, one.clock)
    assert answer == {"phase": "map", "round": 4, "wait_s": 1, "done": False}
    assert 0 < one.clock.now() - started_at <= limits.ROUND_S
    assert len(one.sent) == 12


def test_rounds_bring_a_job_to_its_end_and_the_last_one_comes_after_the_last_lease() -> None:
    one = world()
    answers: list[dict[str, Any]] = []
    while not (answers and answers[-1]["done"]):
        answers.append(perform(one.ticker(), {"job_id": one.job_id, "round": len(answers)}, one.clock))
        one.work()
        one.clock.sleep(answers[-1]["wait_s"])
    assert answers[-1]["phase"] == "succeeded"
    assert [answer["round"] for answer in answers] == list(range(1, len(answers) + 1))
    assert one.clock.now() >= one.state().last_lease_until
    assert sorted(one.output().splitlines()) == ["be\t6", "not\t6", "or\t6", "to\t6"]


def test_a_round_refuses_an_invalid_request() -> None:
    one = world()
    for event in ({}, {"job_id": one.job_id, "other": 1}, {"job_id": one.job_id, "stop": 7}):
        with pytest.raises(ValidationError):
            perform(one.ticker(), event, one.clock)
    with pytest.raises(RequestError, match="there is no job"):
        perform(one.ticker(), {"job_id": "20260101-000000-00000000"}, one.clock)


def test_the_round_of_a_cleaned_up_job_ends_and_that_of_an_unknown_job_is_refused() -> None:
    one = world()
    one.finish()
    one.clock.sleep(one.state().last_lease_until - one.clock.now())
    one.real_store.erase(one.state())
    gone = {"phase": "gone", "round": 8, "wait_s": 0, "done": True}
    assert perform(one.ticker(), {"job_id": one.job_id, "round": 7}, one.clock) == gone
    assert perform(one.ticker(), {"job_id": one.job_id, "round": 7, "stop": "it failed"}, one.clock) == gone
    for first in ({"job_id": one.job_id}, {"job_id": one.job_id, "stop": "it failed"}):
        with pytest.raises(RequestError, match="there is no job"):
            perform(one.ticker(), first, one.clock)


def test_a_job_whose_coordinator_failed_ends_with_that_reason_and_holds_nothing() -> None:
    one = world(KEEP, split_size=100)
    one.tick()
    late = one.execute(one.sent[0])
    drive(one.ticker(), one.job_id, one.clock, stop=Failure(kind=FailureKind.INVARIANT, message="it broke"))
    state = one.state()
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert state.failure.message == "it broke"
    assert state.released
    assert not one.folder.uploads
    assert one.record(late) == "ignored"


def test_stopping_an_ended_job_changes_nothing() -> None:
    one = world()
    before = one.finish()
    drive(one.ticker(), one.job_id, one.clock, stop=Failure(kind=FailureKind.INVARIANT, message="too late"))
    assert one.state() == before


def test_a_job_fails_when_its_deadline_has_passed() -> None:
    one = world(deadline=100.0)
    one.tick()
    one.clock.sleep(99.0)
    assert one.tick().job.phase is Phase.MAP
    one.clock.sleep(1.0)
    state = one.finish()
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert "within 100 s: raise --deadline" in state.failure.message
    assert state.released


def test_the_deadline_counts_from_the_submission_across_phases() -> None:
    one = world(deadline=100.0)
    one.tick()
    one.work()
    one.clock.sleep(90.0)
    assert one.tick().job.phase is Phase.REDUCE
    one.clock.sleep(9.0)
    assert one.tick().job.phase is Phase.REDUCE
    one.clock.sleep(2.0)
    assert one.tick().job.phase is Phase.STOPPING
    failure = one.finish().failure
    assert failure is not None
    assert "within 100 s" in failure.message


def test_the_number_of_concurrent_attempts_is_at_most_the_jobs_workers() -> None:
    one = world(workers=2)
    one.tick()
    assert len(one.sent) == 2
    one.work()
    one.tick()
    assert len(one.sent) == 2
    assert one.finish().phase is Phase.SUCCEEDED


def test_an_upload_of_a_zombie_after_the_end_is_aborted_once_all_leases_have_expired() -> None:
    one = world(KEEP, split_size=100)
    one.tick()
    zombie = one.sent[0]
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    assert one.finish().phase is Phase.CANCELLED
    one.execute(zombie)
    assert one.folder.uploads
    assert not one.tick().swept
    assert one.folder.uploads
    one.clock.sleep(one.state().last_lease_until - one.clock.now())
    assert one.tick().swept
    assert not one.folder.uploads


class RefusingInvoker:
    """An invoker that refuses tasks with odd numbers while ``refuses`` is set."""

    def __init__(self, one: World) -> None:
        self.one = one
        self.refuses = True

    def invoke(self, request: TaskRequest) -> None:
        if self.refuses and request.task % 2:
            raise TransientError("429")
        self.one.sent.append(request)


def test_only_the_refused_attempts_of_a_batch_are_launched_again() -> None:
    one = world(split_size=13)
    invoker = RefusingInvoker(one)
    one.invoke = invoker.invoke  # type: ignore[method-assign]
    with pytest.raises(TransientError):
        one.tick()
    assert [request.task for request in one.sent] == [0, 2, 4]
    invoker.refuses = False
    one.tick()
    assert [request.task for request in one.sent] == [0, 2, 4, 1, 3, 5]
    assert {request.attempt for request in one.sent} == {1}
    assert one.finish().attempts == 6 + 3


def test_a_function_that_must_not_be_invoked_fails_the_job_with_that_reason() -> None:
    one = world()

    def refuse(_request: TaskRequest) -> None:
        raise RequestError("invoking arn: access denied")

    one.invoke = refuse  # type: ignore[method-assign,assignment]
    state = one.finish()
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert "access denied" in state.failure.message


def test_attempts_relaunched_long_after_their_tick_died_have_a_full_lease() -> None:
    one = world()
    one.switch.at = one.switch.calls + 8  # in the middle of launching
    with pytest.raises(Killed):
        one.tick()
    one.switch.at = None
    assert one.state().launching is not None
    one.clock.sleep(10_000.0)
    one.tick()
    assert one.sent
    live = one.real_store.observe(one.job_id)
    assert live is not None
    assert {attempt.attempt for attempt in live.live} == {1}
    assert min(attempt.lease_until for attempt in live.live) >= one.clock.now() + 60.0
    assert one.state().last_lease_until >= one.clock.now() + 60.0
    assert one.finish().retried == 0


def test_a_logged_batch_that_was_never_invoked_is_retried_once_its_lease_has_expired() -> None:
    one = world(attempts=1)

    def die(_request: TaskRequest) -> None:
        raise Killed

    invoke, one.invoke = one.invoke, die  # type: ignore[method-assign,assignment]
    with pytest.raises(Killed):
        one.tick()
    one.invoke = invoke  # type: ignore[method-assign]
    assert one.state().launching is not None
    one.clock.sleep(limits.lease_s(60) + 1.0)
    now = one.clock.now()
    one.tick()
    assert {(request.attempt, request.start_by) for request in one.sent} == {(1, now + limits.start_s())}
    seen = one.real_store.observe(one.job_id)
    assert seen is not None
    assert {(live.attempt, live.lease_until) for live in seen.live} == {(1, now + limits.lease_s(60))}
    state = one.finish()
    assert (state.phase, state.retried) == (Phase.SUCCEEDED, 0)
