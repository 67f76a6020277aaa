"""Attempts over honest fakes: which one wins, what lost, failed or slow ones cost, and who can report for one."""

from collections.abc import Iterator
from typing import Any

import pytest

from s3mr import limits
from s3mr.api import Job
from s3mr.coordinator.recorder import JOBS_REMEMBERED_MAX, Recorder, Verdict
from s3mr.model.job import FailureKind, Phase
from s3mr.model.manifest import Books, Part
from s3mr.model.report import attempt_token
from s3mr.model.statistics import Counters
from tests.unit.word_count import WORD_COUNT, assert_nothing_held, finished, total, words, world
from tests.world import Killed, World, died

PART = Part(name="part-00000", upload="u", worker="0" * 16, etags=("e",), size_bytes=1, records=1, crc32c=1)


def test_the_first_attempt_to_commit_wins_and_all_others_are_ignored_and_counted() -> None:
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
    assert one.state().ignored == 3  # the same request was executed again


def test_a_repeated_report_removes_the_attempt_if_the_recorder_died_after_the_commit() -> None:
    one = world()
    one.submit()
    one.tick()
    report = one.execute(one.sent.popleft())
    dying = Recorder(one.switch.wrap(one.real_store), one.clock)
    one.switch.at, one.switch.after = one.switch.calls + 2, True  # the first call reads the job, the second commits
    with pytest.raises(Killed):
        dying.record(report)
    assert live_tasks(one).count(report.task) == 1
    assert one.record(report) is Verdict.IGNORED
    assert report.task not in live_tasks(one)
    finished(one)
    assert one.state().ignored == 1


def live_tasks(one: World) -> list[int]:
    seen = one.real_store.observe(one.job_id)
    assert seen is not None
    return [attempt.task for attempt in seen.live]


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


def test_a_failure_that_names_another_task_is_recorded_for_its_own_attempt() -> None:
    one = world()
    one.submit()
    one.tick()
    report = died(one.sent[0], kind=FailureKind.REQUEST)
    assert report.failure is not None
    lying = report.failure.model_copy(update={"task": report.task + 1, "phase": Phase.REDUCE, "attempt": 9})
    assert one.record(report.model_copy(update={"failure": lying})) is Verdict.FAILED
    one.tick()
    failure = one.state().failure
    assert failure is not None
    assert (failure.phase, failure.task, failure.attempt) == (Phase.MAP, report.task, report.attempt)


@pytest.mark.parametrize("token", ["0" * 64, "é" * 64, "\ud800", ""], ids=["another", "letters", "surrogate", "none"])
def test_a_forged_token_is_refused_and_the_true_report_still_wins(token: str) -> None:
    one = world()
    one.submit()
    one.tick()
    report = one.execute(one.sent.popleft())
    forged = report.model_copy(update={"token": token})
    assert one.record(forged) is Verdict.FORGED
    assert one.record(report) is Verdict.WON
    finished(one)


def test_a_token_is_valid_only_for_its_own_attempt() -> None:
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"worker": "f" * 16}, "it names another attempt or worker"),
        ({"duration_s": 9.0}, None),
        ({"counters": Counters(records_in=-1)}, "its counters are out of range for one task"),
        ({"books": Books(records=1)}, "it has books, which only reduce tasks write"),
        ({"pieces": None}, "it does not have 3 pieces, one for each reduce task"),
        ({"pieces": b"12"}, "it does not have 3 pieces, one for each reduce task"),
        ({"part": PART}, "it has a part, which only tasks of the last phase write"),
    ],
)
def test_a_manifest_that_its_attempt_cannot_have_written_fails_it_with_the_reason(
    change: dict[str, Any], message: str | None
) -> None:
    one = world()
    one.submit(attempts=1)
    one.tick()
    report = one.execute(one.sent.popleft())
    assert report.manifest is not None
    forged = report.model_copy(update={"manifest": report.manifest.model_copy(update=change)})
    assert one.record(forged) is (Verdict.FAILED if message else Verdict.WON)
    if message:
        one.tick()
        failure = one.state().failure
        assert failure is not None
        assert f"does not describe its own attempt: {message}" in failure.message


@pytest.mark.parametrize("change", [{"name": "part-00001"}, {"worker": "f" * 16}])
def test_a_report_can_name_only_its_own_part(change: dict[str, str]) -> None:
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


def test_a_task_that_is_not_part_of_the_job_never_wins() -> None:
    one = world()
    state = one.submit()
    one.tick()
    report, beyond = one.execute(one.sent[0]), state.spec.map_tasks
    token = attempt_token(state.secret, phase=Phase.MAP, task=beyond, attempt=1)
    assert report.manifest is not None
    manifest = report.manifest.model_copy(update={"task": beyond})
    stray = report.model_copy(update={"task": beyond, "token": token, "manifest": manifest})
    assert one.record(stray) is Verdict.IGNORED
    assert one.real_store.manifests(state, Phase.MAP, [beyond]) == {}
    finished(one)


def test_a_recorder_caches_few_jobs_and_knows_all() -> None:
    one = world()
    state = one.submit()
    one.tick()
    report = one.execute(one.sent.popleft())
    for number in range(2 * JOBS_REMEMBERED_MAX):
        spec = state.spec.model_copy(update={"job_id": f"job-{number}"})
        assert one.real_store.create(state.model_copy(update={"spec": spec, "secret": "00" * 32}))
        assert one.record(report.model_copy(update={"job_id": spec.job_id})) is Verdict.FORGED
        assert len(one.recorder._jobs) <= JOBS_REMEMBERED_MAX
    assert one.record(report) is Verdict.WON


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


def test_a_winner_is_forgotten_together_with_all_earlier_attempts() -> None:
    one = world()
    one.submit()
    one.tick()
    crashed = one.sent.popleft()
    one.record(died(crashed))
    one.work()
    one.tick()
    assert live_tasks(one) == [crashed.task, crashed.task]
    assert one.work() == [Verdict.WON]
    assert live_tasks(one) == []


def test_a_silent_worker_is_lost_once_its_lease_has_expired() -> None:
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


def test_a_task_that_kills_every_worker_fails_the_job_after_its_last_attempt() -> None:
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


def test_a_function_that_raises_is_retried_once_and_then_fails_the_job() -> None:
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


def test_throttling_costs_no_attempt_and_is_retried_later() -> None:
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


def test_endless_throttling_fails_the_job() -> None:
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


def test_a_straggler_gets_one_backup_and_the_first_to_finish_wins() -> None:
    one = World(WORD_COUNT, {f"{number:02d}": b"a b c\n" for number in range(12)})
    one.submit(split_size=1)
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
