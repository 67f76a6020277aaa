"""``--chaos`` injects the requested faults into real processes, in reasonable time."""

import json
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.chaos.place import Place
from tests.chaos.scenario import drawn
from tests.integration.conftest import RUN_S_MAX
from tests.integration.test_processes import processes_of, state_of

SECONDS_MAX = 60.0  # a task may take 900 s


@pytest.mark.parametrize("fate", ["crash", "stall", "dup"])
def test_every_attempt_except_a_tasks_last_meets_the_injected_fault(place: Place, fate: str) -> None:
    started_at, scenario = monotonic(), drawn(0)
    little = ["--split-size", "1MiB", "--attempts", "2", "--json"]
    command = place.start(*place.run_arguments(scenario), *little, "--chaos", f"{fate}=1")
    states = set()
    while command.poll() is None:
        states |= states_of(place.folder)
        sleep(0.1)
    printed, stderr = command.communicate(timeout=RUN_S_MAX)
    assert command.returncode == 0, stderr.decode()
    place.assert_output(scenario)
    done = json.loads(printed)
    tasks = done["map_tasks"] + scenario.reducers
    again = {"crash": (2 * tasks, tasks), "stall": (2 * tasks, tasks), "dup": (tasks, 0)}
    assert (done["attempts"], done["retried"]) == again[fate]
    assert ("T" in states) == (fate == "stall")
    assert (done["duplicates_ignored"] > 0) == (fate == "dup")
    assert monotonic() - started_at < SECONDS_MAX
    place.assert_nothing_left()


def states_of(folder: Path) -> set[str]:
    """The states of the processes of a command; ``T`` means stopped."""
    states = set()
    for pid in processes_of(folder):
        with suppress(OSError):
            states.add(state_of(pid))
    return states
