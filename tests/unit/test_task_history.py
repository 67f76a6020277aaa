"""The history of a task: each execution once, with its result."""

import pytest

from s3mr import limits
from s3mr.coordinator.recorder import Verdict
from s3mr.errors import RequestError
from s3mr.model.job import Phase
from s3mr.remote.task_history import Execution, history, parse_task
from tests.unit.remote_home import home_of
from tests.unit.word_count import world
from tests.world import World, died


def submitted() -> World:
    one = world()
    one.submit()
    one.tick()
    return one


def of(one: World, task: int = 0) -> list[Execution]:
    return list(history(home_of(one), one.job_id, phase=Phase.MAP, task=task).executions)


def verdicts(one: World, task: int = 0) -> list[tuple[int, str]]:
    return [(each.attempt, each.verdict) for each in of(one, task)]


def test_an_attempt_is_running_until_its_report_and_then_wins_or_fails() -> None:
    one = submitted()
    assert verdicts(one) == [(1, "running")]
    assert of(one)[0].launched_at == one.clock.now()
    one.clock.sleep(2)
    one.record(died(one.sent.popleft()))
    (failed,) = of(one)
    assert (failed.verdict, failed.worker, failed.reported_at) == ("failed", None, one.clock.now())
    assert failed.failure is not None
    assert failed.failure.message == "died"
    one.finish()
    assert verdicts(one) == [(1, "failed"), (2, "won")]
    assert of(one)[1].worker is not None


def test_a_late_execution_is_ignored_beside_the_winner() -> None:
    one = submitted()
    request = one.sent.popleft()
    first, second = one.execute(request), one.execute(request)
    assert [one.record(report) for report in (first, second)] == [Verdict.WON, Verdict.IGNORED]
    assert [(each.attempt, each.verdict, each.worker) for each in of(one)] == [
        (1, "won", first.worker),
        (1, "ignored", second.worker),
    ]


def test_a_forged_report_is_shown_as_forged_and_the_attempt_still_runs() -> None:
    one = submitted()
    report = one.execute(one.sent.popleft())
    one.record(report.model_copy(update={"token": "0" * 64}))
    assert sorted(verdicts(one)) == [(1, "forged"), (1, "running")]


def test_an_attempt_whose_lease_has_expired_is_silent() -> None:
    one = submitted()
    one.clock.sleep(limits.lease_s(60.0) + 1)
    assert verdicts(one) == [(1, "silent")]
    one.sent.clear()
    one.tick()
    one.tick()
    assert verdicts(one)[-1] == (2, "running")
    one.finish()
    assert verdicts(one) == [(1, "silent"), (2, "won")]


def test_a_task_that_has_not_started_has_no_history() -> None:
    one = world()
    one.submit()
    assert of(one) == []


def test_an_unknown_task_is_refused_with_the_valid_range() -> None:
    one = submitted()
    last = one.state().spec.map_tasks - 1
    with pytest.raises(RequestError, match=f"no task map/99: its map tasks are map/0 to map/{last}"):
        of(one, 99)
    with pytest.raises(RequestError, match="no job nobody"):
        history(home_of(one), "nobody", phase=Phase.MAP, task=0)


@pytest.mark.parametrize(
    ("text", "task"), [("map/3", (Phase.MAP, 3)), ("map:0", (Phase.MAP, 0)), ("reduce/12", (Phase.REDUCE, 12))]
)
def test_a_task_is_named_by_its_phase_and_number(text: str, task: tuple[Phase, int]) -> None:
    assert parse_task(text) == task


@pytest.mark.parametrize("text", ["", "3", "map", "map/", "map/-1", "map/x", "combine/1", "map/1/2"])
def test_an_invalid_task_name_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="write map/3 or reduce/0"):
        parse_task(text)
