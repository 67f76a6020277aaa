"""Workers on the embedded cloud are killed, hung and run twice: the output equals that of a sequential run."""

from tests.chaos.place import Place
from tests.chaos.scenario import drawn
from tests.integration.conftest import RUN_S_MAX


def test_the_output_equals_a_sequential_run_if_workers_die_hang_or_run_twice(place: Place, seed: int) -> None:
    scenario = drawn(seed)
    command = place.start(*place.run_arguments(scenario), *scenario.chaos(0))
    _, stderr = command.communicate(timeout=RUN_S_MAX)
    assert command.returncode == 0, stderr.decode()
    place.assert_output(scenario)
    place.assert_nothing_left()
