"""The contract of `JobStore`: in memory, on the embedded cloud's DynamoDB, and on one that misbehaves."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from s3mr.adapters.memory.memory_stores import MemoryJobStore
from s3mr.local.cloud import EmbeddedCloud
from s3mr.model.job import AttemptId, Failure, FailureKind, JobState, LiveAttempt, Phase, TaskPhase
from s3mr.model.manifest import Manifest, Piece, pack_pieces
from s3mr.model.report import Report
from s3mr.model.statistics import Counters
from s3mr.ports import Commit, JobStore
from tests.claims import holder_of
from tests.contract.conftest import FaultyServices
from tests.contract.misbehaving import all_of, half_of_each_batch, one_item_a_page, stale_reads
from tests.submissions import some_spec

WORKER, RIVAL = "0123456789abcdef", "fedcba9876543210"
numbers = count()


@pytest.fixture(params=["memory", "embedded cloud", "at its worst"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    if request.param == "at its worst":
        services: FaultyServices = request.getfixturevalue("services")
        services.meet(all_of(half_of_each_batch, stale_reads, one_item_a_page))
        return services.store
    cloud: EmbeddedCloud = request.getfixturevalue("cloud")
    return cloud.stack.store


def new_job(map_tasks: int = 3, reducers: int = 2) -> JobState:
    spec = some_spec(
        job_id=f"job-{next(numbers)}", map_tasks=map_tasks, reducers=reducers, input_bytes=10, memory_bytes=2**26
    )
    return JobState(spec=spec, secret="00" * 32, created_at=1.0)


@pytest.fixture
def job(store: JobStore) -> JobState:
    created = new_job()
    assert store.create(created)
    return created


def live(task: int, attempt: int = 1, phase: TaskPhase = Phase.MAP) -> LiveAttempt:
    return LiveAttempt(phase=phase, task=task, attempt=attempt, backup=False, launched_at=2.5, lease_until=9.0)


def manifest(task: int, worker: str = WORKER, attempt: int = 1) -> Manifest:
    pieces = pack_pieces([Piece(7, 2, 99), Piece(0, 0, 0)])
    return Manifest(
        phase=Phase.MAP,
        task=task,
        attempt=attempt,
        worker=worker,
        duration_s=0.5,
        counters=Counters(records_in=4, requests={"s3:GetObject": 1}),
        key_type="str",
        pieces=pieces,
    )


def test_a_job_is_created_once_and_read_back_unchanged(store: JobStore, job: JobState) -> None:
    assert not store.create(job.model_copy(update={"secret": "11" * 32}))
    assert store.read_job(job.spec.job_id) == job
    seen = store.observe(job.spec.job_id)
    assert seen is not None
    assert (seen.job, seen.cancel_requested, seen.live) == (job, False, ())


def test_a_job_that_does_not_exist_is_none(store: JobStore) -> None:
    assert store.read_job("nobody") is None
    assert store.observe("nobody") is None


def test_a_job_is_replaced_only_by_a_tick_that_knows_its_epoch(store: JobStore, job: JobState) -> None:
    ours = job.model_copy(update={"epoch": 1, "cursor": 1})
    stale = job.model_copy(update={"epoch": 1, "cursor": 2})
    assert store.replace(ours, epoch=0)
    assert not store.replace(stale, epoch=0)
    assert store.read_job(job.spec.job_id) == ours


def test_repeating_a_replacement_counts_as_done(store: JobStore, job: JobState) -> None:
    ours = job.model_copy(update={"epoch": 1})
    assert store.replace(ours, epoch=0)
    assert store.replace(ours, epoch=0)


def test_replacing_a_job_that_does_not_exist_is_refused(store: JobStore) -> None:
    assert not store.replace(new_job(), epoch=0)


def test_a_cancel_request_is_observed(store: JobStore, job: JobState) -> None:
    store.request_cancel(job.spec.job_id, at=1.0)
    seen = store.observe(job.spec.job_id)
    assert seen is not None
    assert seen.cancel_requested


def test_live_attempts_are_seen_in_order_until_they_are_forgotten(store: JobStore, job: JobState) -> None:
    attempts = [live(0), live(1), live(1, 2), live(10), live(0, 1, Phase.REDUCE)]
    store.begin(job.spec.job_id, attempts)
    store.begin(job.spec.job_id, attempts)
    assert_live(store, job, attempts)
    store.forget(job.spec.job_id, Phase.MAP, [AttemptId(task=1, attempt=1), AttemptId(task=1, attempt=2)])
    store.forget(job.spec.job_id, Phase.MAP, [AttemptId(task=10, attempt=1)])
    store.forget(job.spec.job_id, Phase.MAP, [AttemptId(task=10, attempt=1)])
    store.forget(job.spec.job_id, Phase.MAP, [])
    assert_live(store, job, [live(0), live(0, 1, Phase.REDUCE)])


def assert_live(store: JobStore, job: JobState, expected: list[LiveAttempt]) -> None:
    seen = store.observe(job.spec.job_id)
    assert seen is not None
    assert list(seen.live) == expected


def test_100_live_attempts_are_written_at_once(store: JobStore, job: JobState) -> None:
    attempts = [live(task) for task in range(100)]
    store.begin(job.spec.job_id, attempts)
    assert_live(store, job, attempts)


def test_only_a_live_attempt_can_fail_and_only_once(store: JobStore, job: JobState) -> None:
    failure = Failure(kind=FailureKind.CRASH, message="gone", phase=Phase.MAP, task=1, attempt=1)

    def fail(task: int, text: str = "gone") -> bool:
        return store.record_failure(
            job.spec.job_id,
            phase=Phase.MAP,
            attempt=AttemptId(task=task, attempt=1),
            failure=failure.model_copy(update={"message": text}),
            failed_at=3.5,
        )

    store.begin(job.spec.job_id, [live(1)])
    assert not fail(2)
    assert fail(1)
    assert not fail(1, "again")
    assert_live(store, job, [live(1).model_copy(update={"failure": failure, "failed_at": 3.5})])


def test_the_first_manifest_of_a_task_wins_and_all_others_lose(store: JobStore, job: JobState) -> None:
    assert store.commit(job, manifest(1)) is Commit.WON
    assert store.commit(job, manifest(1, RIVAL)) is Commit.LOST
    assert store.commit(job, manifest(1, attempt=2)) is Commit.LOST
    assert store.commit(job, manifest(1)) is Commit.REPEATED
    assert store.manifests(job, Phase.MAP, [0, 1, 2]) == {1: manifest(1)}
    assert store.manifests(job, Phase.REDUCE, [1]) == {}
    assert store.manifests(job, Phase.MAP, []) == {}


def test_exactly_one_of_many_concurrent_manifests_wins(store: JobStore, job: JobState) -> None:
    rivals = [manifest(0, f"{number:016x}") for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda one: store.commit(job, one), rivals))
    winner = answers.index(Commit.WON)
    assert answers.count(Commit.WON) == 1
    assert store.manifests(job, Phase.MAP, [0]) == {0: rivals[winner]}


def test_nothing_is_committed_to_a_sealed_task(store: JobStore, job: JobState) -> None:
    store.commit(job, manifest(0))
    store.seal(job, Phase.MAP, [0, 1])
    store.seal(job, Phase.MAP, [0, 1])
    assert store.commit(job, manifest(1)) is Commit.LOST
    assert store.manifests(job, Phase.MAP, [0, 1]) == {0: manifest(0)}
    assert list(store.all_manifests(job, Phase.MAP)) == [manifest(0)]


def test_all_manifests_come_in_task_order_from_every_slice(store: JobStore) -> None:
    job = new_job(map_tasks=3000)
    assert job.spec.slices > 1
    store.create(job)
    tasks = [2999, 0, 7, 1000, 5, 6, 123]
    for task in tasks:
        store.commit(job, manifest(task))
    assert [one.task for one in store.all_manifests(job, Phase.MAP)] == sorted(tasks)
    assert list(store.all_manifests(job, Phase.REDUCE)) == []
    assert set(store.manifests(job, Phase.MAP, range(1100))) == {0, 5, 6, 7, 123, 1000}


def test_jobs_whose_ids_share_a_prefix_do_not_see_each_other(store: JobStore, job: JobState) -> None:
    longer = job.model_copy(update={"spec": job.spec.model_copy(update={"job_id": job.spec.job_id + "0"})})
    store.create(longer)
    store.begin(longer.spec.job_id, [live(0)])
    store.commit(longer, manifest(0))
    assert_live(store, job, [])
    assert list(store.all_manifests(job, Phase.MAP)) == []


@pytest.fixture
def output(job: JobState) -> str:
    return f"s3://results/{job.spec.job_id}"


def test_an_output_is_claimed_by_one_job_at_a_time(store: JobStore, job: JobState, output: str) -> None:
    rival = new_job()
    store.create(rival)
    assert store.claim_output(output, job_id=job.spec.job_id) is None
    assert store.claim_output(output, job_id=job.spec.job_id) is None
    assert store.claim_output(output, job_id=rival.spec.job_id) == job.spec.job_id
    store.release_output(output, job_id=rival.spec.job_id)
    assert store.claim_output(output, job_id=rival.spec.job_id) == job.spec.job_id
    store.release_output(output, job_id=job.spec.job_id)
    assert store.claim_output(output, job_id=rival.spec.job_id) is None


def test_a_jobs_claim_is_free_once_the_job_has_ended_and_is_released(
    store: JobStore, job: JobState, output: str
) -> None:
    rival = new_job()
    store.create(rival)
    assert holder_of(store, output) is None
    store.claim_output(output, job_id=job.spec.job_id)
    failed = job.model_copy(update={"epoch": 1, "phase": Phase.FAILED})
    store.replace(failed, epoch=0)
    assert store.claim_output(output, job_id=rival.spec.job_id) == job.spec.job_id
    store.replace(failed.model_copy(update={"epoch": 2, "released": True}), epoch=1)
    assert store.claim_output(output, job_id=rival.spec.job_id) is None
    assert holder_of(store, output) == rival.spec.job_id
    store.release_output(output, job_id=job.spec.job_id)
    third = new_job()
    store.create(third)
    assert store.claim_output(output, job_id=third.spec.job_id) == rival.spec.job_id


def test_ignored_completions_are_counted_and_other_verdicts_are_not(
    store: JobStore, job: JobState, completion: Callable[[str], Report], died: Report
) -> None:
    store.log_attempt(job, completion(WORKER), verdict="ignored", at=1.0)
    store.log_attempt(job, completion(RIVAL), verdict="ignored", at=2.0)
    store.log_attempt(job, completion("a" * 16), verdict="forged", at=3.0)
    store.log_attempt(job, died, verdict="ignored", at=4.0)
    assert store.count_ignored(job) == 2


def test_the_first_log_entry_of_an_execution_is_kept(
    store: JobStore, job: JobState, completion: Callable[[str], Report], died: Report
) -> None:
    for report, verdicts in ((died, ("failed", "ignored")), (completion(WORKER), ("ignored", "ignored"))):
        for at, verdict in enumerate(verdicts):
            store.log_attempt(job, report, verdict=verdict, at=float(at))
    assert [(one.verdict, one.at) for one in store.logged(job, Phase.MAP, 1)] == [("ignored", 0.0), ("failed", 0.0)]
    assert store.count_ignored(job) == 1


def test_a_forged_report_does_not_overwrite_log_entries(store: JobStore, job: JobState, died: Report) -> None:
    forged = died.model_copy(update={"failure": died.failure and died.failure.model_copy(update={"message": "lies"})})
    store.log_attempt(job, died, verdict="failed", at=1.0)
    store.log_attempt(job, forged, verdict="forged", at=2.0)
    logged = store.logged(job, Phase.MAP, 1)
    assert sorted(one.verdict for one in logged) == ["failed", "forged"]
    assert {one.failure.message for one in logged if one.failure and one.verdict == "failed"} == {"gone"}


def test_the_claim_of_an_erased_job_is_free(store: JobStore, job: JobState) -> None:
    output = f"s3://b/{job.spec.job_id}"
    store.claim_output(output, job_id=job.spec.job_id)
    store.erase(job.model_copy(update={"spec": job.spec.model_copy(update={"output": "s3://b/elsewhere"})}))
    rival = new_job()
    store.create(rival)
    assert store.claim_output(output, job_id=rival.spec.job_id) is None


def test_an_erased_job_has_no_claims(store: JobStore, job: JobState) -> None:
    store.claim_output(job.spec.output, job_id=job.spec.job_id)
    store.erase(job)
    store.create(job)
    assert holder_of(store, job.spec.output) is None


def test_a_released_job_holds_no_output_even_if_it_claims_one(store: JobStore, job: JobState) -> None:
    output = f"s3://b/{job.spec.job_id}"
    ended = job.model_copy(update={"epoch": 1, "phase": Phase.FAILED})
    store.replace(ended, epoch=0)
    store.claim_output(output, job_id=job.spec.job_id)
    assert holder_of(store, output) == job.spec.job_id
    store.replace(ended.model_copy(update={"epoch": 2, "released": True}), epoch=1)
    assert holder_of(store, output) is None


@pytest.fixture
def completion(job: JobState) -> Callable[[str], Report]:
    return lambda worker: Report(
        job_id=job.spec.job_id,
        phase=Phase.MAP,
        task=1,
        attempt=1,
        token="t",
        worker=worker,
        manifest=manifest(1, worker),
    )


@pytest.fixture
def died(job: JobState) -> Report:
    failure = Failure(kind=FailureKind.CRASH, message="gone")
    return Report(job_id=job.spec.job_id, phase=Phase.MAP, task=1, attempt=2, token="t", worker=None, failure=failure)
