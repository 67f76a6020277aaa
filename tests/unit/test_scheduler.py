"""The scheduler decides what to launch, when to wait and when to stop, without a clock or I/O."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr import limits
from s3mr.model.job import AttemptId, Failure, FailureKind, JobSpec, JobState, LiveAttempt, Phase
from s3mr.policy.retries import Relaunch, Running, judge_task
from s3mr.policy.scheduler import Advance, Forget, Launch, Stop, Wait, decide, median_sample, suspects
from tests.submissions import some_spec

NOW = 1000.0


def spec(map_tasks: int = 20, attempts: int = 4) -> JobSpec:
    return some_spec(map_tasks=map_tasks, reducers=3, memory_bytes=limits.MEMORY_BYTES, attempts=attempts)


def job(cursor: int, map_tasks: int = 20, **fields: Any) -> JobState:
    return JobState(
        spec=spec(map_tasks), secret="", created_at=0, cursor=cursor, **{"progressed_at": NOW - 1, **fields}
    )


def live(task: int, attempt: int = 1, *, kind: FailureKind | None = None, **fields: Any) -> LiveAttempt:
    failure = Failure(kind=kind, message="why", task=task, attempt=attempt) if kind else None
    launched_at = fields.pop("launched_at", NOW - 5)
    return LiveAttempt(
        phase=Phase.MAP,
        task=task,
        attempt=attempt,
        backup=fields.pop("backup", False),
        launched_at=launched_at,
        lease_until=launched_at + limits.lease_s(100),
        failure=failure,
        failed_at=NOW - 2 if kind else None,
    )


def actions(state: JobState, attempts: list[LiveAttempt], *, won: set[int] | None = None, capacity: int = 8) -> Any:
    return decide(state, attempts, won=frozenset(won or ()), capacity=capacity, now=NOW)


def launched(decided: Any) -> list[tuple[int, int, bool]]:
    return [
        (one.task, one.attempt, one.backup)
        for action in decided
        if isinstance(action, Launch)
        for one in action.attempts
    ]


def test_new_tasks_fill_the_free_slots_in_order() -> None:
    decided = actions(job(3), [live(1), live(2)], capacity=5)
    assert launched(decided) == [(3, 1, False), (4, 1, False), (5, 1, False)]
    assert isinstance(decided[0], Launch)
    assert decided[0].cursor == 6


def test_retries_are_launched_before_new_tasks() -> None:
    decided = actions(job(3), [live(0, kind=FailureKind.CRASH), live(1), live(2)], capacity=4)
    assert launched(decided) == [(0, 2, False), (3, 1, False)]


def test_launches_never_exceed_the_capacity() -> None:
    assert launched(actions(job(2), [live(0), live(1)], capacity=2)) == []
    assert launched(actions(job(3), [live(0), live(1), live(2)], capacity=2)) == []


def test_a_phase_ends_when_every_task_was_launched_and_none_is_live() -> None:
    assert actions(job(20), []) == (Advance(),)
    assert actions(job(20), [live(7)], won={7}) == (Forget((AttemptId(task=7, attempt=1),)), Advance())
    assert not any(isinstance(action, Advance) for action in actions(job(19), []))
    assert not any(isinstance(action, Advance) for action in actions(job(20), [live(7)]))


def test_a_task_that_must_be_retried_later_keeps_the_phase_open() -> None:
    throttled = live(4, kind=FailureKind.TRANSIENT)
    decided = actions(job(20), [throttled.model_copy(update={"failed_at": NOW})])
    assert launched(decided) == []
    assert isinstance(decided[-1], Wait)
    assert 0 < decided[-1].seconds <= 1.5


@pytest.mark.parametrize("kind", [FailureKind.REQUEST, FailureKind.INVARIANT])
def test_a_failure_that_can_never_succeed_stops_the_job_at_once(kind: FailureKind) -> None:
    (*_, stop) = actions(job(3), [live(0), live(1, kind=kind)])
    assert isinstance(stop, Stop)
    assert stop.failure.kind is kind


def test_failures_of_other_attempts_do_not_matter_after_a_win() -> None:
    decided = actions(job(3), [live(1, kind=FailureKind.REQUEST), live(1, 2)], won={1})
    assert not any(isinstance(action, Stop) for action in decided)


def test_stragglers_get_one_backup_when_nothing_is_left_to_launch() -> None:
    slow = [live(5, launched_at=NOW - 40), live(6, launched_at=NOW - 50), live(7, launched_at=NOW - 20)]
    state = job(20, median_s=10.0)
    assert launched(actions(state, slow)) == [(6, 2, True), (5, 2, True)]
    assert launched(actions(state, slow, capacity=4)) == [(6, 2, True)]
    assert launched(actions(state, [*slow[:1], live(5, 2, backup=True)])) == []
    assert launched(actions(job(20), slow)) == [], "no median, no straggler"
    assert launched(actions(job(19, median_s=10.0), slow)) == [(19, 1, False), (6, 2, True), (5, 2, True)]


def test_tasks_that_failed_together_are_retried_at_different_times() -> None:
    refused = [live(task, kind=FailureKind.TRANSIENT) for task in range(20)]
    verdicts = [judge_task(spec(), [one], now=NOW) for one in refused]
    times = [verdict.at - (NOW - 2) for verdict in verdicts if isinstance(verdict, Relaunch)]
    assert len(set(times)) == 20
    assert all(0.5 <= one < 1.5 for one in times)
    assert max(times) - min(times) > 0.5


def test_a_failed_backup_is_not_followed_by_another() -> None:
    slow, failed = live(5, launched_at=NOW - 40), live(5, 2, backup=True, kind=FailureKind.CRASH)
    assert launched(actions(job(20, median_s=10.0), [slow, failed])) == []


def test_a_relaunched_task_gets_its_backup_under_a_new_number() -> None:
    crashed, slow = live(5, kind=FailureKind.CRASH, launched_at=NOW - 90), live(5, 2, launched_at=NOW - 40)
    assert launched(actions(job(20, median_s=10.0), [crashed, slow])) == [(5, 3, True)]


def test_a_short_task_is_not_a_straggler_until_10_s_over_the_median() -> None:
    assert launched(actions(job(20, median_s=0.1), [live(5, launched_at=NOW - 10)])) == []
    assert launched(actions(job(20, median_s=0.1), [live(5, launched_at=NOW - 10.2)])) == [(5, 2, True)]


def test_the_median_is_taken_once_half_of_ten_or_more_tasks_are_done() -> None:
    assert median_sample(job(20), [live(task) for task in range(11)]) == ()
    assert median_sample(job(20), [live(task) for task in range(10)]) == tuple(range(10, 20))
    assert median_sample(job(19), []) == ()
    assert median_sample(job(9, map_tasks=9), []) == ()
    assert median_sample(job(20, median_s=1.0), []) == ()
    assert len(median_sample(job(5000, map_tasks=5000), [])) == limits.MEDIAN_SAMPLE
    assert len(median_sample(job(5001, map_tasks=5001), [])) <= limits.MEDIAN_SAMPLE


def test_tasks_are_checked_for_a_winner_before_they_count_as_lost_and_all_tasks_in_a_stall() -> None:
    expired = live(0, launched_at=NOW - 1000)
    attempts = [expired, live(1), live(2, kind=FailureKind.CRASH), live(3), live(3, 2)]
    assert suspects(job(20), attempts, now=NOW) == (0, 2, 3)
    assert suspects(job(20), [live(4, 2, backup=True)], now=NOW) == (4,), "its rival may have won"
    assert suspects(job(20, progressed_at=NOW - limits.STALL_S), attempts, now=NOW) == (0, 1, 2, 3)
    started = job(20, progressed_at=NOW - limits.STALL_S, phase_started_at=NOW - 1)
    assert suspects(started, attempts, now=NOW) == (0, 2, 3), "a phase that has just started does not stall"


@pytest.mark.parametrize("left_s", [0.25, limits.STALL_S + 1])
def test_the_next_tick_comes_when_a_lease_expires_or_after_a_stall(left_s: float) -> None:
    decided = actions(job(20), [live(0), live(1, launched_at=NOW - limits.lease_s(100) + left_s)])
    assert decided == (Wait(min(left_s, limits.STALL_S)),)


def test_a_function_that_raises_in_its_only_allowed_attempt_fails_the_job_despite_a_backup() -> None:
    raised, backup = live(0, kind=FailureKind.USER), live(0, 2, backup=True)
    assert judge_task(spec(attempts=1), [raised, backup], now=NOW) == raised.failure
    assert judge_task(spec(attempts=2), [raised, backup], now=NOW) == Running((backup,))


def test_an_attempt_without_a_report_after_its_lease_has_crashed() -> None:
    assert judge_task(spec(), [live(0)], now=NOW) == Running((live(0),))
    assert judge_task(spec(), [live(0, launched_at=NOW - 1000)], now=NOW) == Relaunch(2, NOW)


def test_a_backup_that_fails_costs_nothing_while_the_first_runs() -> None:
    first, backup = live(0), live(0, 2, backup=True, kind=FailureKind.CRASH)
    assert judge_task(spec(attempts=1), [first, backup], now=NOW) == Running((first,))
    failed = live(0, kind=FailureKind.CRASH)
    assert judge_task(spec(attempts=2), [failed, backup], now=NOW) == Relaunch(3, NOW)


kinds = st.sampled_from([None, FailureKind.USER, FailureKind.CRASH, FailureKind.TRANSIENT])


@given(st.lists(kinds, min_size=1, max_size=40), st.integers(1, 6))
def test_attempt_budgets_are_never_exceeded(failures: list[FailureKind | None], attempts: int) -> None:
    """However attempts end, another one is launched only within each kind's budget; the last failure is named."""
    so_far: list[LiveAttempt] = []
    for number, kind in enumerate(failures, start=1):
        so_far.append(live(0, number, kind=kind))
        verdict = judge_task(spec(attempts=attempts), so_far, now=NOW)
        ended = [one.failure.kind for one in so_far if one.failure]
        users, crashes = ended.count(FailureKind.USER), ended.count(FailureKind.CRASH)
        if isinstance(verdict, Relaunch):
            assert verdict.attempt == number + 1
            assert users < min(limits.USER_ATTEMPTS, attempts)
            assert users + crashes < attempts
            assert ended.count(FailureKind.TRANSIENT) < limits.TRANSIENT_ATTEMPTS
        elif isinstance(verdict, Failure):
            assert verdict.kind in ended
            return
        else:
            assert kind is None or None in failures[:number]


@given(st.lists(st.integers(0, 19), unique=True), st.integers(0, 30))
def test_the_same_observation_gives_the_same_decision_in_any_order(tasks: list[int], capacity: int) -> None:
    attempts = [live(task) for task in tasks]
    assert actions(job(20), attempts, capacity=capacity) == actions(job(20), attempts[::-1], capacity=capacity)


def test_a_task_without_a_free_worker_is_retried_for_hours_and_costs_no_attempt() -> None:
    none = FailureKind.NO_ROOM
    for attempt in (1, 10, limits.NO_ROOM_ATTEMPTS):
        verdict = judge_task(spec(attempts=1), [live(0, attempt, kind=none)], now=NOW)
        assert isinstance(verdict, Relaunch)
        assert verdict.attempt == attempt + 1
        assert NOW - 2 < verdict.at < NOW + 90
    verdict = judge_task(spec(), [live(0, limits.NO_ROOM_ATTEMPTS + 1, kind=none)], now=NOW)
    assert isinstance(verdict, Failure)


def test_only_the_last_attempt_without_a_worker_is_kept() -> None:
    none, crash = FailureKind.NO_ROOM, FailureKind.CRASH
    attempts = [live(0, 1, kind=none), live(0, 2, kind=crash), live(0, 3, kind=none), live(0, 4, kind=none)]
    decided = actions(job(1), attempts)
    (forget,) = [action for action in decided if isinstance(action, Forget)]
    assert [one.attempt for one in forget.attempts] == [1, 3]
    assert judge_task(spec(), attempts, now=NOW) == judge_task(spec(), [attempts[1], attempts[3]], now=NOW)


def test_manifests_are_spread_over_slices_by_their_number_and_by_their_size() -> None:
    def slices(map_tasks: int, reducers: int) -> int:
        return spec(map_tasks).model_copy(update={"reducers": reducers}).slices

    assert slices(10, 10) == 1
    assert slices(5_000, 10) == 6
    assert slices(1_000, 10_000) == 29, "a manifest of 10,000 pieces has 120 KB"
    assert slices(100_000, 10) == limits.SLICES_MAX
