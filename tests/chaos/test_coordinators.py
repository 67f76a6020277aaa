"""Commands and their workers are killed, and other commands resume the job: its output is as if nothing had died.

The services keep running. Workers of each command are also killed, hung and run twice.
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
    job_id = run_to_the_end(place, turnstile, scenario)
    assert (
        place.running[0].returncode == -signal.SIGKILL or scenario.deaths[0].then == "answered"
    )  # the command ended before the kill
    place.assert_output(scenario)
    place.assert_nothing_left()
    assert holder_of(place.stack.store, place.output(scenario)) is None
    assert job_id not in place.job_ids_with_objects()
    for left in place.job_ids_with_objects():  # by a command that died before it stored its job
        assert place.stack.store.read_job(left) is None


def run_to_the_end(place: Place, turnstile: Turnstile, scenario: Scenario) -> str:
    """Run the job; kill each command and resume the job with another until none is killed; return the job's id."""
    first = place.run_arguments(scenario)
    for number, death in enumerate([*scenario.deaths, None]):
        job = place.newest()
        arguments = first if job is None else ["resume", job.spec.job_id, "--workers", "2", "--quiet"]
        command = place.start(*arguments, *scenario.chaos(number), "--endpoint-url", turnstile.url)
        turnstile.expect(death, command)
        _, stderr = command.communicate(timeout=RUN_S_MAX)
        place.assert_no_process()
        if command.returncode == 0 or NOTHING_TO_RESUME in stderr:  # the previous command had already finished the job
            break
        assert command.returncode == -signal.SIGKILL, stderr.decode()
    job = place.newest()
    assert job is not None
    return job.spec.job_id
