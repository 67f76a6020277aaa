"""Injected faults are drawn, repeatable, and never hit a task's last attempt."""

from collections import Counter

import pytest

from s3mr.errors import RequestError
from s3mr.model.job import Phase
from s3mr.model.report import TaskRequest
from s3mr.processes.chaos import HANG_S, Chaos
from tests.unit.test_scheduler import spec


def request(task: int, attempt: int = 1) -> TaskRequest:
    return TaskRequest(spec=spec(attempts=4), phase=Phase.MAP, task=task, attempt=attempt, token="", start_by=0.0)


def test_faults_have_the_requested_frequency_and_are_repeatable() -> None:
    chaos = Chaos.parse("crash=.3,stall=.3,dup=.2,seed=7")
    faults = [chaos.fault(request(task), 1) for task in range(2000)]
    assert faults == [chaos.fault(request(task), 1) for task in range(2000)]
    counts = Counter(faults)
    expected = {"crash": 0.3, "stall": 0.3, "dup": 0.2, "none": 0.2}
    assert {fault: count / 2000 for fault, count in counts.items()} == pytest.approx(expected, abs=0.05)


def test_another_seed_draws_other_faults() -> None:
    drawn = [[Chaos(crash=0.5, seed=seed).fault(request(task), 1) for task in range(50)] for seed in (1, 2)]
    assert drawn[0] != drawn[1]


def test_a_tasks_last_attempt_is_spared() -> None:
    assert Chaos(crash=1.0).fault(request(0, attempt=3), 1) == "crash"
    assert Chaos(crash=1.0).fault(request(0, attempt=4), 1) == "none"
    assert Chaos(crash=1.0).fault(request(0, attempt=5), 1) == "none"


def test_a_duplicated_attempt_has_a_second_execution_with_its_own_fault_and_no_third() -> None:
    chaos = Chaos(crash=0.3, stall=0.3, dup=0.4)
    assert [chaos.fault(request(task), 1) for task in range(50)] != [
        chaos.fault(request(task), 2) for task in range(50)
    ]
    assert {chaos.fault(request(task), 2) for task in range(50)} == {"crash", "stall", "none"}
    assert Chaos(dup=1.0).fault(request(0), 2) == "none"


def test_an_execution_dies_before_its_work_as_often_as_during_it() -> None:
    for chaos in (Chaos(crash=0.1), Chaos(crash=1.0)):
        drawn = [chaos._draw(request(task), 1) for task in range(2000)]
        meanwhile = [delay_s > 0 for fault, delay_s in drawn if fault == "crash"]
        assert sum(meanwhile) / len(meanwhile) == pytest.approx(0.5, abs=0.1)


def test_a_hanging_execution_times_out_after_a_second_and_any_other_after_the_jobs_timeout() -> None:
    patient = request(0)
    assert Chaos(stall=1.0).timeout_s(patient, 1) == HANG_S < patient.spec.task_timeout_s
    assert Chaos(crash=1.0).timeout_s(patient, 1) == patient.spec.task_timeout_s
    hasty = patient.model_copy(update={"spec": patient.spec.model_copy(update={"task_timeout_s": 0.1})})
    assert Chaos(stall=1.0).timeout_s(hasty, 1) == 0.1


def test_without_chaos_no_faults_are_injected() -> None:
    assert Chaos.parse("").fault(request(0), 1) == "none"
    assert Chaos().execute(request(0), 1, lambda: "done") == "done"


@pytest.mark.parametrize("text", ["crash", "crash=x", "boom=.1", "crash=-1", "crash=.9,stall=.9", "seed=x"])
def test_an_invalid_chaos_option_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--chaos"):
        Chaos.parse(text)
