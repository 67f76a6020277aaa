"""What the simulator has found, each as the shortest story that shows it."""

from collections.abc import Iterator

import pytest

from s3mr.adapters.memory_data import MemoryOutput
from s3mr.coordinator.barrier import read_books
from s3mr.coordinator.leading import FencedError, Lead
from s3mr.errors import InvariantError, TransientError
from s3mr.formats.reading import TaskReader
from s3mr.formats.registry import get_format
from s3mr.model import keys
from s3mr.model.job import FailureKind, JobState, Phase
from s3mr.model.plan import MapTask, Split
from tests.unit.word_count import finished, world
from tests.world import World


def unclaimed(one: World) -> JobState:
    """A job whose submitter died, or believed that it had failed, before it held its output."""
    state = one.submit()
    one.real_store.release_output(state.spec.output, job_id=state.spec.job_id)
    return state


def test_what_was_read_between_two_writes_of_another_tick_cannot_be_written_back() -> None:
    one = world()
    state = one.submit()
    leading = Lead(one.real_store, state, writer="first")
    leading.save(cursor=1)
    late = Lead(one.real_store, one.state(), writer="second")
    leading.save(phase=Phase.STOPPING)
    with pytest.raises(FencedError):
        late.save(cursor=2)
    assert one.state().phase is Phase.STOPPING


def test_of_two_ticks_that_write_the_same_at_once_only_one_leads() -> None:
    one = world()
    state = one.submit()
    first, second = (Lead(one.real_store, state, writer=writer) for writer in ("first", "second"))
    first.save()
    with pytest.raises(FencedError):
        second.save()


def test_a_write_that_arrives_after_a_later_one_of_the_same_tick_is_refused() -> None:
    one = world()
    lead = Lead(one.real_store, one.submit(), writer="first")
    delayed = lead.save(cursor=1)
    lead.save(cursor=2)
    assert not one.real_store.replace(delayed, epoch=delayed.epoch - 1)
    assert one.state().cursor == 2


def test_a_job_that_was_submitted_by_halves_claims_its_output_before_it_begins_anything() -> None:
    one = world()
    state = unclaimed(one)
    one.tick()
    assert one.real_store.claimed_by(state.spec.output) == state.spec.job_id
    finished(one)


def test_a_job_whose_output_another_one_has_claimed_begins_nothing_and_drops_nothing_of_the_others() -> None:
    one = world()
    first = unclaimed(one)
    one.submit()
    other = one.state()
    one.tick()
    open_part = MemoryOutput(one.folder, other.spec.job_id).open_part(keys.part(0), worker="0" * 16)
    one.job_id, second_id = first.spec.job_id, one.job_id
    for _ in range(5):
        one.tick()
    state = one.state()
    assert (state.phase, state.released, state.attempts) == (Phase.FAILED, True, 0)
    assert state.failure is not None
    assert state.failure.kind is FailureKind.REQUEST
    assert second_id in state.failure.message
    open_part.finish(records=0)
    one.job_id = second_id
    finished(one)


def test_an_attempt_that_a_paused_coordinator_sends_too_late_writes_nothing() -> None:
    one = world()
    one.submit()
    one.tick()
    lease_until = one.state().last_lease_until
    one.clock.time = lease_until + 1.0
    reports = [one.execute(request) for request in one.sent]
    one.sent.clear()
    assert {report.failure.kind for report in reports if report.failure} == {FailureKind.NO_ROOM}
    assert not [key for key in one.real_objects.objects if key.startswith("jobs/")]
    finished(one)


def test_damaged_books_are_an_invariant_error_and_no_other() -> None:
    one = world()
    spec = one.submit().spec
    one.real_objects.put(keys.index_books(spec.job_id), b"short")
    with pytest.raises(InvariantError, match="books"):
        read_books(spec, one.real_objects)


def test_an_attempt_is_leased_from_when_it_is_launched_not_from_when_its_tick_began() -> None:
    one = world()
    one.submit()
    slow = one.real_store.manifests

    def takes_long(*args: object) -> object:
        one.clock.sleep(50.0)
        return slow(*args)  # type: ignore[arg-type]

    one.real_store.manifests = takes_long  # type: ignore[method-assign,assignment]
    one.accepts_max = 0
    with pytest.raises(TransientError):
        one.tick()
    launching = one.state().launching
    assert launching is not None
    assert launching.at == one.clock.now()


def test_an_input_that_arrives_short_is_noticed_even_where_another_line_makes_up_for_its_bytes() -> None:
    """A split that breaks off before its last line reads on into the next one: three bytes lost, three read twice."""
    content = b"k0\nk1\nk2\nk3\n"

    class BreaksOff:
        def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:  # noqa: ARG002 - the port's
            yield content[start : stop - 1 if start == 0 else stop]

    first = Split(source="in/0", size_bytes=len(content), etag="e", start=0, stop=6)
    with pytest.raises(TransientError, match="broke off at byte 5 of 6"):
        list(TaskReader(BreaksOff(), MapTask(splits=(first,)), get_format("text")))
