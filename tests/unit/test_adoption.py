"""Resuming over honest fakes: which results are adopted, and which tasks run again."""

from collections.abc import Iterator

import pytest

from s3mr import limits
from s3mr.api import Job
from s3mr.coordinator.recorder import Verdict
from s3mr.model import object_names
from s3mr.model.job import Phase, WorkerFunctions
from s3mr.model.manifest import unpack_pieces
from tests.unit.resumed_jobs import FaultyJob, failed, finished, map_winners, resumed, resumer, stored
from tests.unit.word_count import TEXT, total, words
from tests.world import World, died


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_a_resumed_job_runs_only_map_tasks_without_a_winner_and_all_reduce_tasks(layout: str) -> None:
    one = failed(FaultyJob(), layout=layout)
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


def test_a_resumed_job_has_the_same_counters_as_a_fresh_run() -> None:
    fresh = World(Job(map=words, reduce=total), TEXT)
    fresh.submit()
    wanted = finished(fresh).counters.model_dump(exclude={"busy_s", "requests"})
    one = failed(FaultyJob())
    resumed(one)
    state = finished(one)
    assert state.counters.model_dump(exclude={"busy_s", "requests"}) == wanted
    assert (state.retried, state.ignored) == (0, 0)


def test_a_job_that_failed_in_reduce_runs_no_map_task_again() -> None:
    one = failed(FaultyJob(Phase.REDUCE))
    state = resumed(one)
    assert (state.cursor, state.done) == (state.spec.map_tasks, state.spec.map_tasks)
    assert one.tick().job.phase is Phase.REDUCE
    assert finished(one).attempts == state.spec.reducers


def test_a_cancelled_job_resumes_where_it_stopped() -> None:
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
    faulty = FaultyJob()
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


@pytest.mark.parametrize("layout", ["split", "packed"])
@pytest.mark.parametrize("damage", ["gone", "longer"])
def test_a_task_whose_object_is_missing_or_changed_runs_again(layout: str, damage: str) -> None:
    one = failed(FaultyJob(Phase.REDUCE), layout=layout)
    key = stored(one, one.job_id)[0]
    if damage == "gone":
        del one.real_objects.objects[key]
    else:
        one.real_objects.objects[key] += b"!"
    task = int(key.removeprefix(f"{object_names.job_prefix(one.job_id)}map/worker-").split("-")[1])
    resumed(one)
    one.tick()
    assert [(request.phase, request.task) for request in one.sent] == [(Phase.MAP, task)]
    finished(one)


def test_a_resumed_job_does_not_need_the_old_one() -> None:
    one = failed(FaultyJob())
    old = one.state()
    resumed(one)
    for prefix in (object_names.plan_prefix(old.spec.job_id), object_names.job_prefix(old.spec.job_id)):
        one.real_objects.delete(list(one.real_objects.list(prefix)))
    one.real_store.erase(old)
    finished(one)


def test_the_old_job_and_its_objects_do_not_change() -> None:
    one = failed(FaultyJob())
    old, objects = one.state(), stored(one, one.job_id)
    resumed(one)
    finished(one)
    assert one.real_store.read_job(old.spec.job_id) == old
    assert stored(one, old.spec.job_id) == objects


def test_a_resumed_job_that_fails_can_be_resumed_with_all_its_winners() -> None:
    faulty = FaultyJob()
    one = failed(faulty)
    faulty.broken = True
    resumed(one)
    assert one.finish().phase is Phase.FAILED
    faulty.broken = False
    before = map_winners(one, one.job_id)
    state = resumed(one)
    assert map_winners(one, state.spec.job_id) == before
    finished(one)


def test_a_job_without_reduce_starts_from_the_beginning() -> None:
    fails = [True]

    def mapping(source: str, line: str) -> Iterator[tuple[str, str]]:
        if fails[0] and "end" in line:
            raise ValueError("broken")
        yield source, line

    one = World(Job(map=mapping), TEXT)
    one.submit(split_size=1)
    assert one.finish().phase is Phase.FAILED
    fails[0] = False
    state = resumed(one)
    assert one.finish().phase is Phase.SUCCEEDED
    assert one.state().attempts == state.spec.map_tasks
    lines = [f"{source}\t{line}" for source in sorted(TEXT) for line in TEXT[source].decode().splitlines()]
    assert one.output().splitlines() == lines


def test_resuming_can_change_only_the_output_and_the_functions() -> None:
    one = failed(FaultyJob())
    old, functions = one.state().spec, WorkerFunctions(map="m:8", reduce="r:8")
    new = resumer(one).plan(old.job_id, output="mem://other", functions=functions)
    changed = {"job_id": new.job_id, "output": "mem://other", "functions": functions, "resumed_from": old.job_id}
    assert new == old.model_copy(update=changed)
    assert new.job_id != old.job_id
    assert resumer(one).plan(old.job_id).output == old.output


def test_a_zombies_upload_is_kept_while_another_job_writes_to_the_output() -> None:
    faulty = FaultyJob()
    one = failed(faulty)
    old = one.job_id
    state = resumed(one)
    while one.state().phase is not Phase.REDUCE or not one.sent:
        one.work()
        one.tick()
    report = one.execute(one.sent.popleft())  # uploaded, but not recorded yet
    one.clock.sleep(10 * limits.lease_s(state.spec.task_timeout_s))
    assert one.ticker().tick(old).swept
    assert one.folder.uploads
    assert one.record(report) is Verdict.WON
    finished(one)


def test_an_adopted_manifest_is_identical_to_the_old_one() -> None:
    one = failed(FaultyJob(Phase.REDUCE))
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
