"""Bugs that the simulator found, each as its shortest reproduction."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from s3mr import limits
from s3mr.adapters.memory.memory_data import MemoryOutput
from s3mr.coordinator.barrier import read_books
from s3mr.coordinator.fence import FencedError, Lead
from s3mr.coordinator.transitions import completed, stopping
from s3mr.errors import InvariantError, TransientError
from s3mr.formats.registry import get_format
from s3mr.formats.task_reader import TaskReader
from s3mr.model import object_names
from s3mr.model.job import FailureKind, JobState, Phase
from s3mr.model.plan import MapTask, Split
from tests.claims import holder_of
from tests.unit.word_count import WORD_COUNT, finished, world
from tests.world import Killed, World, open_noted


def unclaimed(one: World) -> JobState:
    """Return a job whose submitter died, or believed that it had failed, before it claimed its output."""
    state = one.submit()
    one.real_store.release_output(state.spec.output, job_id=state.spec.job_id)
    return state


def test_a_tick_cannot_write_back_a_state_read_between_two_writes_of_another_tick() -> None:
    one = world()
    state = one.submit()
    leading = Lead(one.real_store, state, writer="first")
    leading.save(completed(leading.job, 1))
    late = Lead(one.real_store, one.state(), writer="second")
    leading.save(stopping(leading.job, None))
    with pytest.raises(FencedError):
        late.save(completed(late.job, 2))
    assert one.state().phase is Phase.STOPPING


def test_only_one_of_two_ticks_that_write_the_same_at_once_leads() -> None:
    one = world()
    state = one.submit()
    first, second = (Lead(one.real_store, state, writer=writer) for writer in ("first", "second"))
    first.renew()
    with pytest.raises(FencedError):
        second.renew()


@pytest.mark.parametrize("arrives", [False, True])
def test_a_lead_advances_only_once_it_knows_that_its_write_has_arrived(*, arrives: bool) -> None:
    one = world()
    lead = Lead(one.store, one.submit(), writer="first")
    one.switch.at, one.switch.after = one.switch.calls + 1, arrives
    with pytest.raises(Killed):  # as a connection that breaks before or after the write
        lead.save(completed(lead.job, 1))
    assert (lead.job.epoch, lead.job.cursor) == (0, 0)
    assert lead.save(completed(lead.job, 1)) == lead.job == one.state()
    assert (lead.job.epoch, lead.job.cursor) == (1, 1)


def test_an_overtaken_tick_returns_the_job_as_it_was_read() -> None:
    one = world()
    state = one.submit()
    overtaken = one.ticker()
    lead = overtaken.lead(state)
    one.tick()
    with pytest.raises(FencedError):
        lead.save(stopping(lead.job, None))
    assert lead.job == state


def test_a_write_that_arrives_after_a_later_one_of_the_same_tick_is_refused() -> None:
    one = world()
    lead = Lead(one.real_store, one.submit(), writer="first")
    delayed = lead.save(completed(lead.job, 1))
    lead.save(completed(lead.job, 2))
    assert not one.real_store.replace(delayed, epoch=delayed.epoch - 1)
    assert one.state().cursor == 2


def test_a_partly_submitted_job_claims_its_output_before_it_starts() -> None:
    one = world()
    state = unclaimed(one)
    one.tick()
    assert holder_of(one.real_store, state.spec.output) == state.spec.job_id
    finished(one)


def test_a_job_whose_output_was_claimed_by_another_does_not_start_or_touch_the_others_uploads() -> None:
    one = world()
    first = unclaimed(one)
    one.submit()
    other = one.state()
    one.tick()
    open_part = MemoryOutput(one.folder, other.spec.job_id).open_part(
        object_names.part(0), worker="0" * 16, announce=len
    )
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


@pytest.mark.parametrize("adopts", [False, True])
def test_a_partly_submitted_job_does_not_start_if_its_output_was_filled_meanwhile(*, adopts: bool) -> None:
    one = world()
    state = unclaimed(one)
    if adopts:  # as a resume does; the bytes are not needed
        adopted = state.model_copy(update={"cursor": 1, "done": 1, "epoch": state.epoch + 1})
        assert one.real_store.replace(adopted, epoch=state.epoch)
    one.folder.objects["theirs"] = b"theirs"
    for _ in range(5):
        one.tick()
    state = one.state()
    assert (state.phase, state.released, state.attempts) == (Phase.FAILED, True, 0)
    assert state.failure is not None
    assert (state.failure.kind, state.failure.message[:9]) == (FailureKind.REQUEST, "not empty")
    assert one.folder.objects == {"theirs": b"theirs"}
    assert holder_of(one.real_store, state.spec.output) is None


def test_an_output_is_checked_only_until_the_first_attempt_is_launched() -> None:
    one = world()
    one.submit()
    asked = []

    class WatchedOutput(MemoryOutput):
        def check_empty(self) -> None:
            asked.append(one.state().attempts)
            if len(asked) == 1:
                raise TransientError("503")
            super().check_empty()

    ticker = replace(one.ticker(), output_of=lambda spec: WatchedOutput(one.folder, spec.job_id))
    with pytest.raises(TransientError):
        ticker.tick(one.job_id)
    while not ticker.tick(one.job_id).over:
        one.work()
    assert one.state().phase is Phase.SUCCEEDED
    assert asked == [0, 0]


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


def test_damaged_books_raise_an_invariant_error() -> None:
    one = world()
    spec = one.submit().spec
    one.real_objects.put(object_names.index_books(spec.job_id), b"short")
    with pytest.raises(InvariantError, match="books"):
        read_books(spec, one.real_objects)


def test_a_lease_starts_when_its_attempt_is_launched_not_when_the_tick_began() -> None:
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


def test_leases_of_a_later_batch_start_when_the_batch_is_launched() -> None:
    one = World(WORD_COUNT, {f"{number:04d}.txt": b"word\n" for number in range(2 * limits.LAUNCH_BATCH + 1)})
    one.submit(split_size=1)
    slow, began_at = one.real_store.begin, one.clock.now()

    def takes_long(*args: object) -> object:
        one.clock.sleep(50.0)
        return slow(*args)  # type: ignore[arg-type]

    one.real_store.begin = takes_long  # type: ignore[method-assign,assignment]
    one.tick()
    seen = one.real_store.observe(one.job_id)
    assert seen is not None
    launched_at = [began_at + 50.0 * (one.task // limits.LAUNCH_BATCH) for one in seen.live]
    lease_s = limits.lease_s(seen.job.spec.task_timeout_s)
    assert [one.launched_at for one in seen.live] == launched_at
    assert [one.lease_until for one in seen.live] == [at + lease_s for at in launched_at]
    assert sorted(one.start_by for one in one.sent) == [at + limits.start_s() for at in launched_at]
    assert seen.job.last_lease_until == launched_at[-1] + lease_s


def test_a_truncated_input_is_noticed_even_if_another_line_makes_up_for_its_bytes() -> None:
    """A split that breaks off before its last line reads on into the next one: three bytes lost, three read twice."""
    content = b"k0\nk1\nk2\nk3\n"

    class BreaksOff:
        def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:  # noqa: ARG002 - the port's
            yield content[start : stop - 1 if start == 0 else stop]

    first = Split(source="in/0", size_bytes=len(content), etag="e", start=0, stop=6)
    with pytest.raises(TransientError, match="was interrupted at byte 5 of 6"):
        list(TaskReader(BreaksOff(), MapTask(splits=(first,)), get_format("text")))


def test_a_coordinator_that_pauses_after_its_look_does_not_time_out_attempts() -> None:
    one = world()
    one.submit(attempts=1)
    one.tick()
    request, looks = one.sent[0], one.real_store.observe
    lease_s = limits.lease_s(request.spec.task_timeout_s)

    def stands_still(job_id: str) -> object:
        seen = looks(job_id)
        one.clock.sleep(lease_s + 1.0)
        return seen

    one.real_store.observe = stands_still  # type: ignore[method-assign,assignment]
    one.tick()
    assert one.state().phase is Phase.MAP
    one.real_store.observe = looks  # type: ignore[method-assign]
    one.tick()
    assert one.state().phase is Phase.STOPPING


def test_objects_that_outlived_a_job_are_swept_even_if_another_job_claimed_its_output_too_late() -> None:
    one = world()
    one.submit()
    one.finish()
    other = one.state().model_copy(update={"spec": one.state().spec.model_copy(update={"job_id": "other"})})
    assert one.real_store.create(other)  # released, as this one is
    one.real_store.release_output(other.spec.output, job_id=one.job_id)
    assert one.real_store.claim_output(other.spec.output, job_id="other") is None
    open_noted(one, worker="0" * 16)
    one.clock.sleep(one.state().last_lease_until - one.clock.now())
    assert one.tick().swept
    assert not one.folder.uploads
