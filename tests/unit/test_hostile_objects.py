"""Whole jobs with changed intermediate objects or jumping clocks give a right answer or a clear failure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3mr.api import Job
from s3mr.model.job import FailureKind, JobState, Phase
from tests.slow import examples
from tests.world import ManualClock, World

COUNT = Job(map=lambda _, line: [(word, 1) for word in line.split()], reduce=lambda key, ones: [(key, sum(ones))])
INPUT = {"a.txt": b"to be or not to be\n" * 3, "b.txt": b"not to yield\n" * 3}
HOUR_S = 3600.0


def mapped(**changes: str) -> World:
    """Return a job at its barrier: the index is written, reducers have not started."""
    made = World(COUNT, INPUT, capacity=100)
    made.submit(**changes)
    while made.state().phase is Phase.MAP:
        made.tick()
        if made.state().phase is Phase.MAP:
            made.work()
    return made


RIGHT = sorted(["be\t6", "not\t6", "or\t3", "to\t9", "yield\t3"])


def assert_right_or_clear(made: World, names: set[str]) -> None:
    state = made.finish()
    if state.phase is Phase.SUCCEEDED:
        assert sorted(made.output().splitlines()) == RIGHT
        return
    assert state.failure is not None
    assert state.failure.kind is FailureKind.INVARIANT
    assert not made.folder.objects
    assert any(name in state.failure.message for name in names), state.failure.message


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(["split", "packed"]), st.data())
def test_a_job_with_changed_intermediates_is_right_or_fails_with_the_cause(layout: str, data: st.DataObject) -> None:
    made = mapped(layout=layout)
    objects = made.real_objects.objects
    name = data.draw(st.sampled_from(sorted(key for key in objects if "/map/" in key or "/index/" in key)))
    whole = objects[name]
    change = data.draw(st.sampled_from(["flip", "cut", "add", "swap", "remove"]))
    at = data.draw(st.integers(0, max(len(whole) - 1, 0)))
    if change == "flip" and whole:
        objects[name] = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    elif change == "cut":
        objects[name] = whole[:at]
    elif change == "add":
        objects[name] = whole[:at] + data.draw(st.binary(min_size=1, max_size=40)) + whole[at:]
    elif change == "swap":
        other = data.draw(st.sampled_from(sorted(objects)))
        objects[name], objects[other] = objects[other], whole
    else:
        del objects[name]
    assert_right_or_clear(made, {"map/worker-", "index", "books", "reduce task"})


class JumpingClock(ManualClock):
    """A clock that jumps by the next of these steps at every ``every``-th read."""

    def __init__(self, jumps: list[float], every: int = 1) -> None:
        super().__init__()
        self._jumps, self._every, self._reads = list(jumps), every, 0

    def now(self) -> float:
        self._reads += 1
        if self._jumps and self._reads % self._every == 0:
            self.time += self._jumps.pop(0)
        return self.time


def ended(clock: ManualClock) -> JobState:
    made = World(COUNT, INPUT, clock=clock)
    made.submit()
    state = made.finish(ticks_max=1000)  # a task due by a clock that was ahead waits until the clock is there again
    if state.phase is Phase.SUCCEEDED:
        assert sorted(made.output().splitlines()) == RIGHT
    assert not made.folder.uploads
    return state


@pytest.mark.parametrize("back_s", [1.0, HOUR_S, 24 * HOUR_S])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_clock_that_goes_backwards_changes_no_answer_and_gives_no_negative_duration(
    back_s: float, every: int
) -> None:
    state = ended(JumpingClock([-back_s] * 50, every))
    assert state.phase is Phase.SUCCEEDED
    assert state.counters.busy_s >= 0


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.floats(-HOUR_S / 6, HOUR_S / 6), min_size=1, max_size=6), st.integers(1, 5))
def test_a_clock_with_any_jumps_gives_a_right_answer_or_a_failure_that_names_the_lease(
    jumps: list[float], every: int
) -> None:
    state = ended(JumpingClock(jumps, every))
    assert state.phase is Phase.SUCCEEDED or (
        state.failure is not None
        and any(
            words in state.failure.message
            for words in (
                "did not report within its lease",
                "too late to finish within its lease",
                "did not end within",
            )
        )
    )


def test_a_clock_set_a_day_ahead_costs_only_attempts_in_flight() -> None:
    made = World(COUNT, INPUT)
    made.submit(deadline=6 * 24 * HOUR_S)
    made.tick()
    made.clock.time += 24 * HOUR_S
    reports = [made.execute(request) for request in made.sent]  # they started too late, by this clock
    made.sent.clear()
    assert all(report.failure is not None for report in reports)
    state = made.finish()
    assert state.phase is Phase.SUCCEEDED
    assert sorted(made.output().splitlines()) == RIGHT


def test_a_clock_that_is_set_back_extends_leases_and_loses_no_attempt() -> None:
    made = World(COUNT, INPUT)
    made.submit()
    made.tick()
    made.clock.time -= 24 * HOUR_S
    state = made.finish()
    assert state.phase is Phase.SUCCEEDED
    assert state.retried == 0
