"""The coordinator over honest fakes: every promise about winners, retries, ends and the output."""

from collections.abc import Iterator

import pytest

from s3mr import limits
from s3mr.api import Job
from s3mr.coordinator.recording import Verdict
from s3mr.errors import RequestError, TransientError
from s3mr.model.job import FailureKind, Phase
from s3mr.model.manifest import Books
from s3mr.model.report import Report
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


WORD_COUNT = Job(map=words, reduce=total)


def expected_counts() -> list[str]:
    text = b"\n".join(TEXT.values()).decode().split()
    return sorted(f"{word}\t{text.count(word)}" for word in set(text))


def world(job: Job = WORD_COUNT, capacity: int = 1000) -> World:
    return World(job, TEXT, capacity)


def finished(one: World) -> World:
    state = one.finish()
    assert state.phase is Phase.SUCCEEDED, state.failure
    assert sorted(one.output().splitlines()) == expected_counts()
    return one


def test_a_job_runs_to_its_whole_output_and_leaves_nothing_else() -> None:
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
    one.submit(split_size_bytes=1)
    assert one.finish().phase is Phase.SUCCEEDED
    lines = [f"{source}\t{line}" for source in sorted(TEXT) for line in TEXT[source].decode().splitlines()]
    assert one.output().splitlines() == lines


def test_2000_objects_are_read_once_each_by_few_tasks() -> None:
    one = World(WORD_COUNT, {f"{number:04d}.txt": b"word\n" for number in range(2000)})
    one.submit(split_size_bytes=2**20, layout="packed")
    state = one.finish()
    assert state.phase is Phase.SUCCEEDED
    assert (state.spec.map_tasks, state.counters.records_in) == (2000 // limits.TASK_OBJECTS_MAX, 2000)
    assert one.output() == "word\t2000\n"


def test_only_as_many_attempts_run_at_once_as_there_is_capacity() -> None:
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


def test_no_reducer_starts_before_every_map_task_has_a_winner() -> None:
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


def test_first_attempt_to_commit_wins_and_every_other_is_ignored_and_counted() -> None:
    one = world()
    one.submit()
    one.tick()
    request = one.sent[0]
    first, second = one.execute(request), one.execute(request)
    assert first.worker != second.worker
    assert one.record(second) is Verdict.WON
    assert one.record(first) is Verdict.IGNORED
    assert one.record(second) is Verdict.IGNORED
    finished(one)
    assert one.state().ignored == 3  # the request itself was executed once more


def test_two_executions_of_a_last_phase_attempt_leave_one_part_and_no_open_upload() -> None:
    one = world()
    one.submit()
    while one.state().phase is not Phase.REDUCE or not one.sent:
        one.work()
        one.tick()
    request = one.sent[0]
    one.record(one.execute(request))
    one.execute(request)  # a zombie that never reports
    finished(one)
    assert not one.folder.uploads


def test_a_report_after_the_end_changes_nothing() -> None:
    one = world()
    one.submit()
    one.tick()
    request = one.sent[0]
    late = one.execute(request)
    finished(one)
    before = one.state()
    assert one.record(late) is Verdict.IGNORED
    assert one.record(died(request)) is Verdict.IGNORED
    assert one.state() == before


def test_a_forged_token_is_refused_and_the_true_report_still_wins() -> None:
    one = world()
    one.submit()
    one.tick()
    report = one.execute(one.sent.popleft())
    forged = report.model_copy(update={"token": "0" * 64})
    assert one.record(forged) is Verdict.FORGED
    assert one.record(report) is Verdict.WON
    finished(one)


def test_a_token_speaks_for_its_own_attempt_only() -> None:
    one = world()
    one.submit()
    one.tick()
    mine, other = one.execute(one.sent[0]), one.execute(one.sent[1])
    assert other.manifest is not None
    stolen = other.model_copy(update={"token": mine.token})
    assert one.record(stolen) is Verdict.FORGED
    assert mine.manifest is not None
    posing = mine.model_copy(update={"manifest": other.manifest})
    assert one.record(posing) is Verdict.FAILED
    finished(one)


@pytest.mark.parametrize("change", [{"name": "part-00001"}, {"worker": "f" * 16}])
def test_a_report_names_no_part_but_its_own(change: dict[str, str]) -> None:
    one = world(Job(map=words))
    one.submit()
    one.tick()
    report = one.execute(one.sent.popleft())
    assert report.manifest is not None
    assert report.manifest.part is not None
    part = report.manifest.part.model_copy(update=change)
    posing = report.model_copy(update={"manifest": report.manifest.model_copy(update={"part": part})})
    assert one.record(posing) is Verdict.FAILED
    assert one.finish().phase is Phase.SUCCEEDED


def test_a_report_of_an_unknown_job_is_unknown() -> None:
    one = world()
    one.submit()
    one.tick()
    report = one.execute(one.sent[0]).model_copy(update={"job_id": "another"})
    assert one.record(report) is Verdict.UNKNOWN


def test_a_crashed_worker_costs_an_attempt_and_the_task_is_launched_again() -> None:
    one = world()
    one.submit()
    one.tick()
    one.record(died(one.sent.popleft()))
    finished(one)
    assert one.state().retried == 1


def test_a_silent_worker_is_lost_when_its_lease_has_run_out_and_not_before() -> None:
    one = world()
    one.submit()
    one.tick()
    silent = one.sent.popleft()
    one.work()
    one.clock.sleep(limits.lease_s(60) - 1)
    one.tick()
    assert not one.sent
    one.clock.sleep(1)
    one.tick()
    assert [(again.task, again.attempt) for again in one.sent] == [(silent.task, 2)]
    finished(one)


def test_a_task_that_kills_every_worker_fails_the_job_after_its_attempts() -> None:
    one = world()
    one.submit(attempts=3)
    killed = 0
    while not one.tick().over:
        for _ in range(len(one.sent)):
            request = one.sent.popleft()
            killed += request.task == 0
            one.record(died(request) if request.task == 0 else one.execute(request))
    state = one.state()
    assert killed == 3
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert (state.failure.kind, state.failure.task, state.failure.attempt) == (FailureKind.CRASH, 0, 3)
    assert_nothing_held(one)


def assert_nothing_held(one: World) -> None:
    assert one.state().released
    assert not one.folder.objects
    assert not one.folder.uploads
    assert one.real_store.claim_output("mem://out", job_id="another") is None
    seen = one.real_store.observe(one.job_id)
    assert seen is not None
    assert not seen.live


def test_a_function_that_raises_is_tried_once_more_and_then_fails_the_job() -> None:
    def raises(_source: str, line: str) -> Iterator[tuple[str, int]]:
        if "lazy" in line:
            raise ValueError("too lazy")
        yield line, 1

    one = world(Job(map=raises, reduce=total))
    one.submit()
    state = one.finish()
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert state.failure.attempt == 2
    assert (state.failure.source, state.failure.record) == ("a.txt", "'the lazy dog'")
    assert "ValueError: too lazy" in (state.failure.traceback or "")
    assert_nothing_held(one)


def test_throttling_costs_no_attempt_and_is_tried_again_later() -> None:
    one = world()
    one.submit(attempts=1)
    one.tick()
    throttled = one.sent.popleft()
    one.work()
    for attempt in range(2, 6):
        one.record(died(throttled, FailureKind.TRANSIENT))
        one.tick()
        assert not one.sent, "it waits before it tries again"
        one.clock.sleep(100)
        one.tick()
        throttled = one.sent.popleft()
        assert (throttled.task, throttled.attempt) == (0, attempt)
    one.record(one.execute(throttled))
    finished(one)


def test_throttling_without_end_fails_the_job() -> None:
    one = world()
    one.submit()
    launched = 0
    while not one.tick().over:
        launched += len(one.sent)
        while one.sent:
            one.record(died(one.sent.popleft(), FailureKind.TRANSIENT))
        one.clock.sleep(100)
    assert one.state().phase is Phase.FAILED
    assert launched == limits.TRANSIENT_ATTEMPTS * one.state().spec.map_tasks


def test_keys_that_differ_in_type_between_tasks_are_caught_at_the_barrier() -> None:
    one = world(Job(map=lambda _source, line: [(len(line), 1)] if "the" in line else [(line, 1)], reduce=total))
    one.submit(split_size_bytes=1)
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
                report = cooked(report)
            one.record(report)
    state = one.state()
    assert state.phase is Phase.FAILED
    assert state.failure is not None
    assert state.failure.kind is FailureKind.INVARIANT
    assert one.real_objects.objects
    assert_nothing_held(one)


def cooked(report: Report) -> Report:
    manifest = report.manifest
    assert manifest is not None
    counters = manifest.counters.model_copy(update={"bytes_in": manifest.counters.bytes_in + 1})
    books = manifest.books and manifest.books + Books(records=1)
    return report.model_copy(update={"manifest": manifest.model_copy(update={"counters": counters, "books": books})})


def test_a_straggler_gets_one_backup_and_the_first_to_finish_wins() -> None:
    one = World(WORD_COUNT, {f"{number:02d}": b"a b c\n" for number in range(12)})
    one.submit(split_size_bytes=1)
    one.tick()
    straggler = one.sent.popleft()
    one.work()
    one.clock.sleep(limits.BACKUP_LONGER_S + 1)
    one.tick()
    (backup,) = one.sent
    assert (backup.task, backup.attempt) == (straggler.task, 2)
    one.clock.sleep(20)
    one.tick()
    assert len(one.sent) == 1, "one backup, not more"
    late = one.execute(straggler)
    one.work()
    assert one.record(late) is Verdict.IGNORED
    state = one.finish()
    assert state.phase is Phase.SUCCEEDED
    assert (state.retried, state.ignored) == (0, 1)


def test_cancel_ends_the_job_and_nothing_is_recorded_afterwards() -> None:
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


def test_cancel_is_heard_while_the_invoker_refuses() -> None:
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


def test_cancel_after_the_point_of_no_return_is_too_late() -> None:
    one = world()
    one.submit()
    while one.state().phase is not Phase.COMMITTING:
        one.tick()
        one.work()
    one.real_store.request_cancel(one.job_id, at=one.clock.now())
    finished(one)


def test_an_output_that_another_running_job_writes_is_refused() -> None:
    one = world()
    first = one.submit()
    with pytest.raises(RequestError, match=first.spec.job_id):
        one.submit()
    one.job_id = first.spec.job_id
    finished(one)


def test_a_stale_tick_cannot_write_after_another_has_begun() -> None:
    one = world()
    one.submit()
    kept = one.ticker()
    seen = one.real_store.observe(one.job_id)
    assert seen is not None
    stale = one.store
    one.tick()
    launched = len(one.sent)

    class Stale:
        """A store whose reader paused: it observes what was so before the other tick."""

        def __getattr__(self, name: str) -> object:
            return (lambda _job_id: seen) if name == "observe" else getattr(stale, name)

    paused = type(kept)(
        store=Stale(),  # type: ignore[arg-type]
        objects=kept.objects,
        output_of=kept.output_of,
        launcher=kept.launcher,
        parallel=kept.parallel,
        clock=kept.clock,
        scratch=kept.scratch,
        capacity=kept.capacity,
    )
    paused.tick(one.job_id)
    assert len(one.sent) == launched
    finished(one)


def test_an_invoker_that_refuses_for_now_loses_no_attempt_and_repeats_none() -> None:
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
def test_a_tick_that_dies_at_any_call_is_followed_by_one_that_carries_on(*, after: bool) -> None:
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
