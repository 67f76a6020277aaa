"""The simulator itself: virtual time, deaths, faults, and checks that can fail."""

from dataclasses import replace

import pytest

from s3mr.model.job import Phase
from tests.simulation import judging, oracle
from tests.simulation.drawing import draw
from tests.simulation.faults import Faults
from tests.simulation.loop import START, End, Loop, ProcessKilled
from tests.simulation.sweep import JOB
from tests.simulation.world import World


def test_processes_pause_for_the_given_time() -> None:
    loop, seen = Loop(), []

    def body() -> str:
        for _ in range(3):
            loop.suspend(2.0)
            seen.append(loop.now - START)
        return "done"

    ends: list[End] = []
    loop.spawn("worker", body, ends.append)
    while loop.step():
        pass
    assert seen == [2.0, 4.0, 6.0]
    assert ends == [End(value="done")]


def test_a_killed_process_does_nothing_more_and_is_marked_as_killed() -> None:
    loop, seen = Loop(), []

    def body() -> None:
        try:
            loop.suspend(10.0)
        finally:
            with pytest.raises(ProcessKilled):
                world_port()
        seen.append("alive")

    def world_port() -> None:
        process = loop.current
        if process is None or not process.alive:
            raise ProcessKilled

    ends: list[End] = []
    process = loop.spawn("worker", body, ends.append)
    loop.step()
    process.kill()
    while loop.step():
        pass
    assert (seen, ends, loop.processes) == ([], [End(killed=True)], {})


def test_a_calm_world_runs_its_job_to_the_end_without_a_fault() -> None:
    outcome = World(JOB).run()
    assert (outcome.violation, outcome.strikes, outcome.phases) == (None, (), (Phase.SUCCEEDED,))


def test_faults_do_not_strike_in_a_healed_world() -> None:
    scenario = replace(draw(1), rates={"flip": 1.0}, io_rates={"tick": {"refuse": 1.0}}, storm=None)
    faults = Faults(scenario, Loop())
    assert faults.strikes("flip", "here")
    assert faults.of_io("tick", "here", "observe") == "refuse"
    faults.healed = True
    assert not faults.strikes("flip", "here")
    assert faults.of_io("tick", "here", "observe") is None


def test_the_oracle_counts_correctly() -> None:
    scenario = replace(JOB, reducers=1, combining="sum")
    assert oracle.expected(scenario, {"a": b"k1\nk0\n", "b": b"k1"}) == {"part-00000": b"k0\t2\nk1\t4\n"}
    assert oracle.records_in({"a": b"k1\nk0\n", "b": b"k1", "c": b"", "d": b"\n"}) == 4


def test_an_output_that_differs_from_the_oracle_is_a_violation() -> None:
    world = World(JOB)
    assert world.run().violation is None
    world.folder.objects["part-00000"] += b"k9\t0\n"
    violation = judging.judge(world)
    assert violation is not None
    assert violation.startswith("S4: ")


def test_a_job_that_never_ends_is_a_violation() -> None:
    world = World(JOB)
    world.cloud.coordinate = lambda *_, **__: None  # type: ignore[method-assign] # nobody drives anything
    violation = world.run().violation
    assert violation is not None
    assert violation.startswith("L1: ")
