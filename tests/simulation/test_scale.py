"""Large jobs in virtual time, small here: counts that hold for hundreds of tasks, without timing."""

from functools import cache

import pytest

from s3mr import limits
from s3mr.model.job import Phase
from tests.simulation.scale.__main__ import failings, measure, table
from tests.simulation.scale.meter import BOUNDS, Meter
from tests.simulation.scale.workers import Shape
from tests.simulation.scale.world import Measures

FEW, MANY = Shape(map_tasks=300, reducers=20, concurrent=100), Shape(map_tasks=900, reducers=20, concurrent=100)


@cache
def ran(shape: Shape, *, backups: bool = True) -> Measures:
    return measure(shape, backups=backups)


def test_a_large_job_stays_within_every_limit_and_leaves_nothing() -> None:
    for run in (ran(FEW), ran(MANY), ran(FEW, backups=False)):
        assert failings(run) == []
        assert run.job.phase is Phase.SUCCEEDED
        assert run.executions == 1
    assert all(ran(FEW).meter.largest.values()), "something was never measured"


def test_backup_attempts_shorten_a_job_with_stragglers() -> None:
    with_backups, without = ran(FEW), ran(FEW, backups=False)
    assert with_backups.makespan_s < without.makespan_s
    assert with_backups.backups > 0
    assert with_backups.verdicts == {"won": FEW.tasks, "ignored": with_backups.backups}
    assert without.verdicts == {"won": FEW.tasks}


def test_the_cost_of_a_task_does_not_grow_with_the_number_of_tasks() -> None:
    few, many = ran(FEW), ran(MANY)
    for run in (few, many):
        reports = run.samples["record"].calls
        assert run.meter.requests["record dynamodb"] == 2 * reports + 1, "a commit, a delete; the job is read once"
    few_each, many_each = (run.meter.requests["tick dynamodb"] / run.shape.tasks for run in (few, many))
    assert many_each < few_each
    assert many.samples["tick"].peak_bytes < 1.5 * few.samples["tick"].peak_bytes
    assert many.meter.largest["request of an attempt, bytes"] < few.meter.largest["request of an attempt, bytes"] + 20


def test_a_new_execution_continues_before_the_history_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROUNDS_MAX", 3)
    run = measure(FEW)
    assert failings(run) == []
    assert run.executions > 3
    assert run.meter.largest["history of an execution, events"] < 50


def test_the_same_seed_gives_exactly_the_same_run() -> None:
    first, again = ran(FEW), measure(FEW)
    assert (again.makespan_s, again.meter.requests) == (first.makespan_s, first.meter.requests)
    assert again.meter.largest == first.meter.largest


def test_an_exceeded_limit_is_reported() -> None:
    meter = Meter()
    meter.see("item, bytes", BOUNDS["item, bytes"])
    assert meter.exceeded() == []
    meter.see("item, bytes", BOUNDS["item, bytes"] + 1)
    assert meter.exceeded() == ["item, bytes: 409,601"]


def test_the_table_has_a_column_for_each_size() -> None:
    pairs = [(ran(FEW), ran(FEW, backups=False)), (ran(MANY), ran(MANY))]
    lines = table(pairs).splitlines()
    assert lines[0] == "| map tasks × reducers, 100 at once | 300 × 20 | 900 × 20 |"
    assert lines[1] == "| --- | ---: | ---: |"
    assert {line.count("|") for line in lines} == {4}
