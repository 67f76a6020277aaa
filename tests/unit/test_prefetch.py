"""How many attempts the local coordinator launches ahead of the workers."""

import pytest

from s3mr.local.prefetch import AHEAD_S, QUEUED_MAX, QUEUED_MIN, Prefetch


@pytest.mark.parametrize(("task_s", "queued"), [(0.0, QUEUED_MAX), (0.05, 10), (0.25, QUEUED_MIN), (900.0, QUEUED_MIN)])
def test_about_half_a_second_of_work_is_queued(task_s: float, queued: int) -> None:
    assert Prefetch(3, task_s).queued == queued
    assert Prefetch(3, task_s).capacity == 3 * queued
    assert queued in (QUEUED_MIN, QUEUED_MAX) or queued * task_s == pytest.approx(AHEAD_S)


def test_tasks_are_assumed_to_be_long_until_one_has_finished() -> None:
    assert Prefetch(2).queued == QUEUED_MIN


def test_short_tasks_extend_the_queue_slowly_and_a_long_one_shortens_it_at_once() -> None:
    pace = Prefetch(2)
    seen = []
    for _ in range(20):
        pace.note(0.01)
        seen.append(pace.queued)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (QUEUED_MIN, QUEUED_MAX)
    pace.note(10.0)
    assert pace.queued == QUEUED_MIN


def test_long_tasks_are_launched_one_by_one_and_short_ones_when_half_are_done() -> None:
    assert Prefetch(2, 1.0).enough == 3
    assert Prefetch(2, 0.01).enough == QUEUED_MAX
