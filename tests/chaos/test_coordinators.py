"""Commands that are killed, with their workers, and followed by others: the job ends as if nobody had died.

Its services live on. Under each command, workers are killed, hung and doubled, too.
"""

import signal
from collections.abc import Iterator

import pytest

from tests.chaos.place import Place
from tests.chaos.scenario import Scenario, drawn
from tests.chaos.turnstile import Turnstile
from tests.claims import holder_of
from tests.integration.conftest import RUN_S_MAX

NOTHING_TO_RESUME = b"there is nothing to resume"


@pytest.fixture
def turnstile(services: str) -> Iterator[Turnstile]:
    with Turnstile(services) as turnstile:
        yield turnstile


def test_the_output_equals_a_sequential_run_if_commands_and_workers_die(
    place: Place, turnstile: Turnstile, seed: int
) -> None:
    scenario = drawn(seed)
    job_id = live(place, turnstile, scenario)
    assert place.running[0].returncode == -signal.SIGKILL or scenario.deaths[0].then == "answered"  # it was quicker
    place.assert_output(scenario)
    place.assert_nothing_left()
    assert holder_of(place.stack.store, place.output(scenario)) is None
    assert job_id not in place.kept_of()
    for left in place.kept_of():  # by a command that died before its job stood
        assert place.stack.store.read_job(left) is None


def live(place: Place, turnstile: Turnstile, scenario: Scenario) -> str:
    """Run the job, kill the command, have another one go on, until nobody dies any more; return the job's id."""
    asked = place.asked(scenario)
    for number, death in enumerate([*scenario.deaths, None]):
        job = place.newest()
        arguments = asked if job is None else ["resume", job.spec.job_id, "--workers", "2", "--quiet"]
        command = place.start(*arguments, *scenario.chaos(number), "--endpoint-url", turnstile.url)
        turnstile.expect(death, command)
        _, said = command.communicate(timeout=RUN_S_MAX)
        place.assert_no_process()
        if command.returncode == 0 or NOTHING_TO_RESUME in said:  # the one before has died in its last moments
            break
        assert command.returncode == -signal.SIGKILL, said.decode()
    job = place.newest()
    assert job is not None
    return job.spec.job_id
