"""Chaos is drawn, repeatable, and spares a task's last attempt."""

from collections import Counter

import pytest

from s3mr.errors import RequestError
from s3mr.model.job import Phase
from s3mr.model.report import TaskRequest
from s3mr.processes.chaos import Chaos
from tests.unit.test_scheduling import spec


def request(task: int, attempt: int = 1) -> TaskRequest:
    return TaskRequest(spec=spec(attempts=4), phase=Phase.MAP, task=task, attempt=attempt, token="", start_by=0.0)


def test_fates_come_as_often_as_asked_and_the_same_each_time() -> None:
    chaos = Chaos.parse("crash=.3,stall=.3,dup=.2,seed=7")
    fates = [chaos.fate(request(task), 1) for task in range(2000)]
    assert fates == [chaos.fate(request(task), 1) for task in range(2000)]
    counts = Counter(fates)
    expected = {"crash": 0.3, "stall": 0.3, "dup": 0.2, "none": 0.2}
    assert {fate: count / 2000 for fate, count in counts.items()} == pytest.approx(expected, abs=0.05)


def test_another_seed_draws_other_fates() -> None:
    drawn = [[Chaos(crash=0.5, seed=seed).fate(request(task), 1) for task in range(50)] for seed in (1, 2)]
    assert drawn[0] != drawn[1]


def test_a_tasks_last_attempt_is_spared() -> None:
    assert Chaos(crash=1.0).fate(request(0, attempt=3), 1) == "crash"
    assert Chaos(crash=1.0).fate(request(0, attempt=4), 1) == "none"
    assert Chaos(crash=1.0).fate(request(0, attempt=5), 1) == "none"


def test_without_chaos_nothing_happens() -> None:
    assert Chaos.parse("").fate(request(0), 1) == "none"
    assert Chaos().execute(request(0), 1, lambda: "done") == "done"


@pytest.mark.parametrize("text", ["crash", "crash=x", "boom=.1", "crash=-1", "crash=.9,stall=.9", "seed=x"])
def test_what_is_no_chaos_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--chaos"):
        Chaos.parse(text)
