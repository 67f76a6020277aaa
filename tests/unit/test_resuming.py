"""Resuming over honest fakes: what is taken up, what is adopted, what is refused, and deaths at every call."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3mr import limits
from s3mr.adapters.memory_data import MemoryOutput
from s3mr.adapters.system import InTurn
from s3mr.api import Job
from s3mr.coordinator.recording import Verdict
from s3mr.coordinator.resuming import Resumer
from s3mr.coordinator.submitting import Submitter
from s3mr.errors import RequestError
from s3mr.model import keys
from s3mr.model.job import JobState, Phase, WorkerFunctions
from s3mr.model.manifest import unpack_pieces
from tests.world import Killed, World, died

TEXT = {
    "a.txt": b"the quick brown fox\njumps over\nthe lazy dog\n",
    "b.txt": b"the end\n\nof the fox",
    "empty.txt": b"",
}


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield word, sum(counts)


class Faulty:
    """A job that raises while it is broken: for some records in map, or for every key in reduce."""

    def __init__(self, phase: Phase = Phase.MAP) -> None:
        self.broken = True
        self._phase = phase

    def job(self) -> Job:
        return Job(map=self._map, reduce=self._reduce)

    def _map(self, source: str, line: str) -> Iterator[tuple[str, int]]:
        if self.broken and self._phase is Phase.MAP and "end" in line:
            raise ValueError("broken")
        return words(source, line)

    def _reduce(self, word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
        if self.broken and self._phase is Phase.REDUCE:
            raise ValueError("broken")
        return total(word, counts)


def resumer(one: World) -> Resumer:
    """What a new process would make."""
    submitter = Submitter(
        inputs_of=lambda _: one.reader,
        objects=one.objects,
        store=one.store,
        output_of=lambda spec: one.switch.wrap(MemoryOutput(one.folder, spec.job_id)),
        clock=one.clock,
        entropy=one.entropy,
        scratch=io.BytesIO,
    )
    return Resumer(submitter, InTurn())


def failed(faulty: Faulty, **order: Any) -> World:
    """A world in which the job has failed, and is no longer broken."""
    one = World(faulty.job(), TEXT)
    one.submit(**order)
    assert one.finish().phase is Phase.FAILED
    faulty.broken = False
    return one


def resumed(one: World, job_id: str | None = None, **changes: Any) -> JobState:
    state = resumer(one).plan_again(job_id or one.job_id, **changes)
    one.job_id = state.spec.job_id
    return state


def expected_counts() -> list[str]:
    text = b"\n".join(TEXT.values()).decode().split()
    return sorted(f"{word}\t{text.count(word)}" for word in set(text))


def finished(one: World) -> JobState:
    state = one.finish()
    assert state.phase is Phase.SUCCEEDED, state.failure
    assert sorted(one.output().splitlines()) == expected_counts()
    assert not one.folder.uploads
    assert not list(one.real_objects.list(keys.job_prefix(one.job_id)))
    assert not list(one.real_objects.list(keys.plan_prefix(one.job_id)))
    return state


def map_winners(one: World, job_id: str) -> set[int]:
    job = one.real_store.read_job(job_id)
    assert job is not None
    return {manifest.task for manifest in one.real_store.all_manifests(job, Phase.MAP)}


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_a_resumed_job_runs_only_the_map_tasks_that_had_no_winner_and_every_reduce(layout: str) -> None:
    one = failed(Faulty(), layout=layout)
    old, had = one.state(), map_winners(one, one.job_id)
    assert 0 < len(had) < old.spec.map_tasks
    state = resumed(one)
    assert (state.spec.resumed_from, state.phase) == (old.spec.job_id, Phase.MAP)
    run = []
    while not one.tick().over:
        run += [(request.phase, request.task) for request in one.sent]
        one.work()
    missing = [(Phase.MAP, task) for task in range(old.spec.map_tasks) if task not in had]
    assert run == missing + [(Phase.REDUCE, task) for task in range(old.spec.reducers)]
    assert finished(one).attempts == len(run)


def test_a_resumed_job_comes_to_what_a_fresh_run_comes_to() -> None:
    fresh = World(Job(map=words, reduce=total), TEXT)
    fresh.submit()
    wanted = finished(fresh).counters.model_dump(exclude={"busy_s", "requests"})
    one = failed(Faulty())
    resumed(one)
    state = finished(one)
    assert state.counters.model_dump(exclude={"busy_s", "requests"}) == wanted
    assert (state.retried, state.ignored) == (0, 0)


def test_a_job_that_failed_in_reduce_maps_nothing_again() -> None:
    one = failed(Faulty(Phase.REDUCE))
    state = resumed(one)
    assert (state.cursor, state.done) == (state.spec.map_tasks, state.spec.map_tasks)
    assert one.tick().job.phase is Phase.REDUCE
    assert finished(one).attempts == state.spec.reducers


def test_a_cancelled_job_is_resumed_from_where_it_was() -> None:
    one = World(Job(map=words, reduce=total), TEXT, capacity=2)
    one.submit()
    one.tick()
    one.work()
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    assert one.finish().phase is Phase.CANCELLED
    state = resumed(one)
    assert state.done == 2
    assert finished(one).attempts == state.spec.map_tasks + state.spec.reducers - 2


def test_adopted_tasks_do_not_make_a_tick_wait_while_nothing_runs() -> None:
    faulty = Faulty()
    one = failed(faulty)
    adopted = map_winners(one, one.job_id)
    hole = min(adopted)
    one.real_objects.delete([key for key in stored(one, one.job_id) if f"-{hole}-" in key])
    one.capacity = 1
    resumed(one)
    one.tick()
    one.work()
    for _ in range(len(adopted)):
        if one.tick().job.phase is Phase.REDUCE:
            return
        one.work()
        assert one.tick().wait_s == 0 or one.sent
    raise AssertionError("the map phase did not come to its end")


def stored(one: World, job_id: str) -> list[str]:
    return list(one.real_objects.list(keys.job_prefix(job_id)))


@pytest.mark.parametrize("layout", ["split", "packed"])
@pytest.mark.parametrize("damage", ["gone", "longer"])
def test_a_task_whose_object_is_gone_or_not_what_it_was_runs_again(layout: str, damage: str) -> None:
    one = failed(Faulty(Phase.REDUCE), layout=layout)
    key = stored(one, one.job_id)[0]
    if damage == "gone":
        del one.real_objects.objects[key]
    else:
        one.real_objects.objects[key] += b"!"
    task = int(key.removeprefix(f"{keys.job_prefix(one.job_id)}map/worker-").split("-")[1])
    resumed(one)
    one.tick()
    assert [(request.phase, request.task) for request in one.sent] == [(Phase.MAP, task)]
    finished(one)


def test_a_resumed_job_needs_nothing_of_the_old_one() -> None:
    one = failed(Faulty())
    old = one.state()
    resumed(one)
    for prefix in (keys.plan_prefix(old.spec.job_id), keys.job_prefix(old.spec.job_id)):
        one.real_objects.delete(list(one.real_objects.list(prefix)))
    one.real_store.erase(old)
    finished(one)


def test_the_old_job_and_what_it_wrote_stay_as_they_are() -> None:
    one = failed(Faulty())
    old, objects = one.state(), stored(one, one.job_id)
    resumed(one)
    finished(one)
    assert one.real_store.read_job(old.spec.job_id) == old
    assert stored(one, old.spec.job_id) == objects


def test_a_resumed_job_that_fails_is_resumed_with_all_that_was_won_by_then() -> None:
    faulty = Faulty()
    one = failed(faulty)
    faulty.broken = True
    resumed(one)
    assert one.finish().phase is Phase.FAILED
    faulty.broken = False
    before = map_winners(one, one.job_id)
    state = resumed(one)
    assert map_winners(one, state.spec.job_id) == before
    finished(one)


def test_a_job_without_reduce_starts_anew() -> None:
    fails = [True]

    def mapping(source: str, line: str) -> Iterator[tuple[str, str]]:
        if fails[0] and "end" in line:
            raise ValueError("broken")
        yield source, line

    one = World(Job(map=mapping), TEXT)
    one.submit(split_size_bytes=1)
    assert one.finish().phase is Phase.FAILED
    fails[0] = False
    state = resumed(one)
    assert one.finish().phase is Phase.SUCCEEDED
    assert one.state().attempts == state.spec.map_tasks
    lines = [f"{source}\t{line}" for source in sorted(TEXT) for line in TEXT[source].decode().splitlines()]
    assert one.output().splitlines() == lines


def test_the_output_and_the_functions_may_be_named_anew_and_nothing_else_changes() -> None:
    one = failed(Faulty())
    old, functions = one.state().spec, WorkerFunctions(map="m:8", reduce="r:8")
    new = resumer(one).plan(old.job_id, output="mem://other", functions=functions)
    changed = {"job_id": new.job_id, "output": "mem://other", "functions": functions, "resumed_from": old.job_id}
    assert new == old.model_copy(update=changed)
    assert new.job_id != old.job_id
    assert resumer(one).plan(old.job_id).output == old.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"b.txt": b"the end\n\nof the dog"}, "changed since it was planned: b.txt"),
        ({}, "vanished since it was planned: b.txt"),
    ],
)
def test_an_input_that_is_not_what_it_was_is_refused_by_name(change: dict[str, bytes], said: str) -> None:
    one = failed(Faulty())
    del one.reader.objects["b.txt"]
    one.reader.objects.update(change)
    before = dict(one.real_objects.objects)
    with pytest.raises(RequestError, match=said):
        resumer(one).plan_again(one.job_id)
    assert one.real_objects.objects == before
    assert len(one.real_store.newest(10)) == 1


def test_what_cannot_be_resumed_is_refused() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    one.submit()
    with pytest.raises(RequestError, match="let it come to its end"):
        resumer(one).plan_again(one.job_id)
    finished(one)
    with pytest.raises(RequestError, match="nothing to resume"):
        resumer(one).plan_again(one.job_id)
    with pytest.raises(RequestError, match="nothing to take up"):
        resumer(one).take_up(one.job_id)
    for refused in (resumer(one).plan_again, resumer(one).take_up):
        with pytest.raises(RequestError, match="there is no job nobody"):
            refused("nobody")


@pytest.mark.parametrize("key", [keys.plan, keys.bundle])
def test_a_job_that_was_cleaned_cannot_be_resumed(key: Callable[[str], str]) -> None:
    one = failed(Faulty())
    del one.real_objects.objects[key(one.job_id)]
    with pytest.raises(RequestError, match="is gone"):
        resumer(one).plan_again(one.job_id)


def test_an_output_that_is_full_or_another_jobs_is_refused_and_the_new_job_holds_nothing() -> None:
    one = failed(Faulty())
    one.folder.objects["theirs"] = b""
    with pytest.raises(RequestError, match="not empty"):
        resumer(one).plan_again(one.job_id)
    del one.folder.objects["theirs"]
    old, rival = one.job_id, one.submit()
    with pytest.raises(RequestError, match=rival.spec.job_id):
        resumer(one).plan_again(old)
    refused = max(one.real_store.newest(10), key=lambda job: job.spec.job_id)
    assert (refused.phase, refused.released, refused.spec.resumed_from) == (Phase.FAILED, True, old)
    assert one.real_store.claimed_by("mem://out") == rival.spec.job_id
    finished(one)


def killed_at(call: int, *, after: bool) -> tuple[World, str] | None:
    """A resume that dies at its ``call``-th call; None: it had fewer."""
    one = failed(Faulty())
    old, one.switch.calls = one.job_id, 0
    one.switch.at, one.switch.after = call, after
    try:
        resumer(one).plan_again(old)
    except Killed:
        one.switch.at = None
        return one, old
    return None


@pytest.mark.parametrize("after", [False, True])
def test_a_resume_that_dies_at_any_call_may_be_repeated(*, after: bool) -> None:
    call = 0
    while (world := killed_at(call := call + 1, after=after)) is not None:
        one, old = world
        try:
            resumed(one, old)
        except RequestError as error:  # it died in the last call but one: it holds the output, and can be driven
            (holder,) = [job.spec.job_id for job in one.real_store.newest(9) if job.spec.job_id in str(error)]
            one.job_id = resumer(one).take_up(holder).spec.job_id
        state = finished(one)
        assert state.attempts == state.spec.map_tasks + state.spec.reducers - len(map_winners(one, old))
    assert call > 20


@pytest.mark.parametrize("after", [False, True])
def test_the_job_that_a_dying_resume_has_left_can_be_taken_up_with_all_that_there_is_to_adopt(*, after: bool) -> None:
    call, seen = 0, 0
    while (world := killed_at(call := call + 1, after=after)) is not None:
        one, old = world
        left = [job for job in one.real_store.newest(9) if job.spec.job_id != old]
        for job in left:
            seen += 1
            one.job_id = resumer(one).take_up(job.spec.job_id).spec.job_id
            state = finished(one)
            assert state.attempts == state.spec.map_tasks + state.spec.reducers - len(map_winners(one, old))
    assert seen > 10


@pytest.mark.parametrize("after", [False, True])
def test_the_job_that_a_dying_resume_has_left_can_be_cancelled(*, after: bool) -> None:
    call = 0
    while (world := killed_at(call := call + 1, after=after)) is not None:
        one, old = world
        for job in (job for job in one.real_store.newest(9) if job.spec.job_id != old):
            one.job_id = job.spec.job_id
            one.real_store.request_cancel(one.job_id, at=one.clock.now())
            assert one.finish().phase is Phase.CANCELLED
        assert one.real_store.claimed_by("mem://out") is None


def test_a_zombies_upload_is_left_alone_where_another_job_writes_by_then() -> None:
    faulty = Faulty()
    one = failed(faulty)
    old = one.job_id
    state = resumed(one)
    while one.state().phase is not Phase.REDUCE or not one.sent:
        one.work()
        one.tick()
    report = one.execute(one.sent.popleft())  # uploaded, and not yet recorded
    one.clock.sleep(10 * limits.lease_s(state.spec.task_timeout_s))
    assert one.ticker().tick(old).swept
    assert one.folder.uploads
    assert one.record(report) is Verdict.WON
    finished(one)


def test_an_adopted_manifest_is_the_old_one_to_the_letter() -> None:
    one = failed(Faulty(Phase.REDUCE))
    old = one.state()
    new = resumed(one)
    ours, theirs = (list(one.real_store.all_manifests(job, Phase.MAP)) for job in (new, old))
    assert ours == theirs
    assert any(piece.length_bytes for one in ours for piece in unpack_pieces(one.pieces or b""))


def test_a_task_that_died_in_the_old_job_has_all_its_attempts_in_the_new_one() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    one.submit(attempts=2)
    while not one.tick().over:
        while one.sent:
            request = one.sent.popleft()
            one.record(died(request) if request.task == 0 else one.execute(request))
    assert one.state().phase is Phase.FAILED
    resumed(one)
    one.tick()
    one.record(died(one.sent.popleft()))
    assert finished(one).retried == 1
