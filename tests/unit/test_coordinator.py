"""The coordinator over honest fakes: phases, books, ends, cancels, and ticks that are refused, stale or die."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from s3mr import limits
from s3mr.adapters.files.folder_output import FolderOutput
from s3mr.adapters.memory.memory_data import MemoryOutput
from s3mr.api import Job
from s3mr.coordinator.recorder import Verdict
from s3mr.errors import RequestError, TransientError
from s3mr.model.job import FailureKind, Phase
from s3mr.model.manifest import Books
from s3mr.model.object_names import OpenedPart
from s3mr.model.report import Report
from tests.unit.word_count import (
    TEXT,
    WORD_COUNT,
    assert_nothing_held,
    expected_counts,
    finished,
    total,
    words,
    world,
)
from tests.world import Killed, World


def test_a_job_writes_its_whole_output_and_leaves_nothing_else() -> None:
    one = world()
    one.submit()
    finished(one)
    assert set(one.folder.objects) == {"part-00000", "part-00001", "part-00002", "_SUCCESS"}
    assert not one.folder.uploads
    assert not one.real_objects.objects
    state = one.state()
    assert state.attempts == state.spec.map_tasks + state.spec.reducers
    assert (state.retried, state.ignored) == (0, 0)
    assert state.counters.records_out == len(expected_counts())


def test_a_job_without_reduce_writes_its_pairs_in_plan_order() -> None:
    one = world(Job(map=lambda source, line: [(source, line)]))
    one.submit(split_size=1)
    assert one.finish().phase is Phase.SUCCEEDED
    lines = [f"{source}\t{line}" for source in sorted(TEXT) for line in TEXT[source].decode().splitlines()]
    assert one.output().splitlines() == lines


def test_2000_objects_are_read_once_each_by_few_tasks() -> None:
    one = World(WORD_COUNT, {f"{number:04d}.txt": b"word\n" for number in range(2000)})
    one.submit(split_size=2**20, layout="packed")
    state = one.finish()
    assert state.phase is Phase.SUCCEEDED
    assert (state.spec.map_tasks, state.counters.records_in) == (2000 // limits.TASK_OBJECTS_MAX, 2000)
    assert one.output() == "word\t2000\n"


def test_the_number_of_concurrent_attempts_is_limited_by_the_capacity() -> None:
    one = world(capacity=2)
    one.submit()
    one.tick()
    assert len(one.sent) == 2
    one.tick()
    assert len(one.sent) == 2
    one.record(one.execute(one.sent.popleft()))
    one.tick()
    assert len(one.sent) == 2
    finished(one)


def test_reducers_start_only_after_every_map_task_has_a_winner() -> None:
    one = world()
    one.submit()
    one.tick()
    held = one.sent.popleft()
    one.work()
    for _ in range(5):
        one.tick()
        assert not one.sent
    one.record(one.execute(held))
    finished(one)


def test_keys_that_differ_in_type_between_tasks_are_caught_at_the_barrier() -> None:
    one = world(Job(map=lambda _source, line: [(len(line), 1)] if "the" in line else [(line, 1)], reduce=total))
    one.submit(split_size=1)
    state = one.finish()
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert "mixed types" in state.failure.message
    assert_nothing_held(one)


@pytest.mark.parametrize("phase", [Phase.MAP, Phase.REDUCE])
def test_books_that_do_not_balance_stop_the_job_and_keep_the_evidence(phase: Phase) -> None:
    one = world()
    one.submit()
    while not one.tick().over:
        while one.sent:
            request = one.sent.popleft()
            report = one.execute(request)
            if request.phase is phase and request.task == 1:
                report = with_wrong_books(report)
            one.record(report)
    state = one.state()
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert state.failure.kind is FailureKind.INVARIANT
    assert one.real_objects.objects
    assert_nothing_held(one)


def with_wrong_books(report: Report) -> Report:
    manifest = report.manifest
    assert manifest is not None
    counters = manifest.counters.model_copy(update={"bytes_in": manifest.counters.bytes_in + 1})
    books = manifest.books and manifest.books + Books(records=1)
    return report.model_copy(update={"manifest": manifest.model_copy(update={"counters": counters, "books": books})})


def test_cancel_ends_the_job_and_later_reports_are_ignored() -> None:
    one = world()
    one.submit()
    one.tick()
    late = [one.execute(request) for request in one.sent]
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    while not one.tick().over:
        pass
    assert one.state().phase is Phase.CANCELLED
    assert [one.record(report) for report in late] == [Verdict.IGNORED] * len(late)
    assert list(one.real_store.all_manifests(one.state(), Phase.MAP)) == []
    assert_nothing_held(one)


def test_a_cancelled_job_leaves_no_folder_beside_its_output(tmp_path: Path) -> None:
    one = world()
    output = FolderOutput(tmp_path / "out", one.submit().spec.job_id)
    output.check(deadline_s=1)
    ticker = replace(one.ticker(), output_of=lambda _: output)
    ticker.tick(one.job_id)
    output.open_part("part-00000", worker="0" * 16, announce=len).finish(records=0)
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    assert output.staging.name == f".out.s3mr-{one.job_id}"
    assert list(tmp_path.iterdir()) == [output.staging]
    while not ticker.tick(one.job_id).over:
        pass
    assert one.state().phase is Phase.CANCELLED
    assert not list(tmp_path.iterdir())


def test_a_job_that_ends_during_reduce_counts_its_map_tasks_as_done_despite_clock_skew() -> None:
    one = world()
    spec = one.submit().spec
    one.clock.time -= 8.0  # the coordinator's clock is behind the submitter's
    while one.state().phase is Phase.MAP:
        one.tick()
        one.work()
    assert (one.state().done_in(Phase.MAP), one.state().done_in(Phase.REDUCE)) == (spec.map_tasks, 0)
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    while not one.tick().over:
        pass
    assert (one.state().done_in(Phase.MAP), one.state().done_in(Phase.REDUCE)) == (spec.map_tasks, 0)


def test_a_job_can_be_cancelled_while_the_invoker_refuses() -> None:
    one = world()
    one.submit()
    one.accepts_max = 2
    with pytest.raises(TransientError):
        one.tick()
    late = [one.execute(request) for request in one.sent]
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    while not one.tick().over:
        pass
    assert one.state().phase is Phase.CANCELLED
    assert [one.record(report) for report in late] == [Verdict.IGNORED] * len(late)
    assert list(one.real_store.all_manifests(one.state(), Phase.MAP)) == []


def test_cancelling_after_the_commit_began_is_too_late() -> None:
    one = world()
    one.submit()
    while one.state().phase is not Phase.COMMITTING:
        one.tick()
        one.work()
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    finished(one)


def test_an_output_claimed_by_another_running_job_is_refused() -> None:
    one = world()
    first = one.submit()
    with pytest.raises(RequestError, match=first.spec.job_id):
        one.submit()
    one.job_id = first.spec.job_id
    finished(one)


def test_a_stale_tick_cannot_write_after_another_has_started() -> None:
    one = world()
    one.submit()
    kept = one.ticker()
    seen = one.real_store.observe(one.job_id)
    assert seen is not None
    stale = one.store
    one.tick()
    launched = len(one.sent)

    class StaleStore:
        """A store whose reader paused: it returns what was true before the other tick."""

        def __getattr__(self, name: str) -> object:
            return (lambda _job_id: seen) if name == "observe" else getattr(stale, name)

    paused = type(kept)(
        store=StaleStore(),  # type: ignore[arg-type]
        objects=kept.objects,
        output_of=kept.output_of,
        launcher=kept.launcher,
        parallel=kept.parallel,
        clock=kept.clock,
        entropy=kept.entropy,
        scratch=kept.scratch,
        capacity=kept.capacity,
    )
    paused.tick(one.job_id)
    assert len(one.sent) == launched
    finished(one)


def test_a_commit_that_resumes_after_its_job_ended_does_not_touch_the_next_jobs_output() -> None:
    one = world(Job(map=words))
    mine = one.submit().spec.job_id
    while one.state().phase is not Phase.COMMITTING:
        one.tick()
        one.work()
    theirs: set[str] = set()

    class PausedOutput(MemoryOutput):
        """An output whose committer pauses once all parts are complete."""

        def discard_open(self, opened: Iterable[OpenedPart]) -> None:
            assert one.finish().phase is Phase.SUCCEEDED
            one.folder.objects.clear()
            one.folder.identities.clear()
            one.submit()
            one.tick()
            one.work()
            theirs.update(one.folder.uploads)
            super().discard_open(opened)

    replace(one.ticker(), output_of=lambda spec: PausedOutput(one.folder, spec.job_id)).tick(mine)
    assert one.job_id != mine
    assert len(theirs) == one.state().spec.map_tasks
    assert set(one.folder.uploads) == theirs


def test_a_temporary_refusal_by_the_invoker_loses_and_repeats_no_attempt() -> None:
    one = world()
    one.submit()
    one.accepts_max = 2
    with pytest.raises(TransientError):
        one.tick()
    one.accepts_max = None
    one.tick()
    sent = [(request.task, request.attempt) for request in one.sent]
    assert len(sent) == len(set(sent)) == one.state().spec.map_tasks
    finished(one)
    assert one.state().retried == 0


def calls_of_a_whole_job() -> int:
    one = world()
    one.submit()
    finished(one)
    return one.switch.calls


@pytest.mark.parametrize("after", [False, True])
def test_after_a_tick_dies_at_any_call_the_next_one_continues(*, after: bool) -> None:
    for call in range(1, calls_of_a_whole_job() + 1):
        one = world()
        one.submit()
        one.switch.at, one.switch.after = call, after
        with pytest.raises(Killed):
            one.finish()
        finished(one)
        assert one.state().retried == 0, f"a tick that died at call {call} cost an attempt"
        assert not one.folder.uploads
        assert not one.real_objects.objects
