"""How the table's adapter handles services that misbehave, and how all adapters handle busy services."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3mr.adapters.aws.dynamodb import DynamoDBJobStore
from s3mr.adapters.aws.s3_inputs import S3Inputs
from s3mr.adapters.aws.s3_output import S3Output
from s3mr.adapters.aws.s3_store import S3ObjectStore
from s3mr.errors import TransientError
from s3mr.model.job import AttemptId, Failure, FailureKind, JobState, Phase
from s3mr.model.object_names import OpenedPart
from s3mr.model.report import Report
from s3mr.ports import Commit
from tests.claims import holder_of
from tests.contract.conftest import BUCKET, TABLE, FaultyServices
from tests.contract.misbehaving import (
    Fault,
    all_of,
    answer_lost,
    half_of_each_batch,
    meanwhile,
    none,
    nothing_of_any_batch,
    one_item_a_page,
    refused,
)
from tests.contract.test_job_store_contract import WORKER, live, manifest, new_job
from tests.contract.test_misbehaving_s3 import uploaded

OUT = "s3://bucket/out"
SLOW_DOWN = refused("503 Slow Down", "SlowDown")


@pytest.fixture
def store(services: FaultyServices) -> DynamoDBJobStore:
    return services.store


@pytest.fixture
def job(store: DynamoDBJobStore) -> JobState:
    return created(store)


def created(store: DynamoDBJobStore) -> JobState:
    one = new_job()
    assert store.create(one)
    return one


def released(store: DynamoDBJobStore, job: JobState) -> None:
    assert store.replace(job.model_copy(update={"epoch": 1, "phase": Phase.FAILED, "released": True}), epoch=0)


# Claims.


def test_one_of_two_concurrent_jobs_takes_over_a_void_claim(
    services: FaultyServices, store: DynamoDBJobStore, job: JobState
) -> None:
    first, second, output = created(store), created(store), f"{OUT}-{job.spec.job_id}"
    store.claim_output(output, job_id=job.spec.job_id)
    released(store, job)
    answers: list[str | None] = []
    services.meet(meanwhile("Query", lambda: answers.append(store.claim_output(output, job_id=second.spec.job_id))))
    assert store.claim_output(output, job_id=first.spec.job_id) == second.spec.job_id
    assert answers == [None]
    assert holder_of(store, output) == second.spec.job_id


def test_exactly_one_of_many_concurrent_jobs_gets_a_void_claim(store: DynamoDBJobStore, job: JobState) -> None:
    output, rivals = f"{OUT}-{job.spec.job_id}", [created(store).spec.job_id for _ in range(8)]
    store.claim_output(output, job_id=job.spec.job_id)
    released(store, job)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda rival: store.claim_output(output, job_id=rival), rivals))
    (winner,) = [rival for rival, answer in zip(rivals, answers, strict=True) if answer is None]
    assert holder_of(store, output) == winner
    assert {answer for answer in answers if answer is not None} == {winner}


def test_a_claim_that_changes_hands_during_the_check_of_its_holder_belongs_to_the_new_holder(
    services: FaultyServices, store: DynamoDBJobStore, job: JobState
) -> None:
    first, second, output = created(store), created(store), f"{OUT}-{job.spec.job_id}"
    store.claim_output(output, job_id=job.spec.job_id)
    released(store, job)

    def taken() -> None:
        store.release_output(output, job_id=job.spec.job_id)
        assert store.claim_output(output, job_id=second.spec.job_id) is None

    services.meet(meanwhile("Query", taken))
    assert store.claim_output(output, job_id=first.spec.job_id) == second.spec.job_id
    assert holder_of(store, output) == second.spec.job_id


# Lost responses: a client that retries finds its own write.


def test_repeating_a_write_whose_response_was_lost_counts_as_done(
    services: FaultyServices, store: DynamoDBJobStore, job: JobState
) -> None:
    fresh, new, moved = new_job(), new_job(), job.model_copy(update={"epoch": 1, "cursor": 1})
    output = f"{OUT}-{job.spec.job_id}"
    writes: Sequence[tuple[Fault, Callable[[], object], object]] = (
        (answer_lost("PutItem"), lambda: store.replace(moved, epoch=0), True),
        (answer_lost("PutItem"), lambda: store.claim_output(output, job_id=job.spec.job_id), None),
        (answer_lost("PutItem"), lambda: store.commit(job, manifest(1)), Commit.REPEATED),
        (answer_lost("PutItem", number=1), lambda: store.create(fresh), True),  # its entry in the list
        (answer_lost("PutItem", number=2), lambda: store.create(new), True),  # and the job itself
        (answer_lost("DeleteItem"), lambda: store.release_output(output, job_id=job.spec.job_id), None),
        (answer_lost("BatchWriteItem"), lambda: store.begin(job.spec.job_id, [live(0), live(1)]), None),
    )
    for fault, write, answer in writes:
        services.meet(fault)
        with pytest.raises(TransientError):
            write()
        assert write() == answer
    seen = store.observe(job.spec.job_id)
    assert seen is not None
    assert (seen.job, list(seen.live)) == (moved, [live(0), live(1)])
    assert store.read_job(fresh.spec.job_id) == fresh
    assert holder_of(store, output) is None


def test_a_failure_whose_response_was_lost_is_kept_and_not_recorded_twice(
    services: FaultyServices, store: DynamoDBJobStore, job: JobState
) -> None:
    store.begin(job.spec.job_id, [live(1)])

    def fail(text: str) -> bool:
        failure = Failure(kind=FailureKind.CRASH, message=text)
        one = AttemptId(task=1, attempt=1)
        return store.record_failure(job.spec.job_id, phase=Phase.MAP, attempt=one, failure=failure, failed_at=3.5)

    services.meet(answer_lost("UpdateItem"))
    with pytest.raises(TransientError):
        fail("gone")
    assert not fail("again")
    seen = store.observe(job.spec.job_id)
    assert seen is not None
    assert [one.failure.message for one in seen.live if one.failure] == ["gone"]


# Batches that are never completed.


def test_a_batch_that_is_never_completed_is_a_transient_error(
    services: FaultyServices, store: DynamoDBJobStore, job: JobState
) -> None:
    store.commit(job, manifest(1))
    services.meet(nothing_of_any_batch)
    with pytest.raises(TransientError, match="unwritten"):
        store.begin(job.spec.job_id, [live(0), live(1)])
    with pytest.raises(TransientError, match="unwritten"):
        store.forget(job.spec.job_id, Phase.MAP, [AttemptId(task=task, attempt=1) for task in range(2)])
    with pytest.raises(TransientError, match="unread"):
        store.manifests(job, Phase.MAP, [1])
    with pytest.raises(TransientError, match="unread"):
        store.newest(1)


# Busy services.


def test_a_busy_service_is_a_transient_error_for_every_call(
    services: FaultyServices, store: DynamoDBJobStore, job: JobState
) -> None:
    objects, output = S3ObjectStore(services.s3, BUCKET), S3Output(services.s3, OUT, "job-1")
    failure = Failure(kind=FailureKind.CRASH, message="gone")
    report = Report(
        job_id=job.spec.job_id, phase=Phase.MAP, task=1, attempt=1, token="t", worker=WORKER, failure=failure
    )
    part = uploaded(output)
    writer = output.open_part("part-00001", worker=WORKER, announce=len)
    calls: Sequence[Callable[[], object]] = (
        lambda: store.claim_output(OUT, job_id="job"),
        lambda: store.release_output(OUT, job_id="job"),
        lambda: store.create(job),
        lambda: store.observe("job"),
        lambda: store.read_job("job"),
        lambda: store.replace(job, epoch=0),
        lambda: store.newest(1),
        lambda: store.request_cancel("job", at=1.0),
        lambda: store.begin("job", [live(0)]),
        lambda: store.forget("job", Phase.MAP, [AttemptId(task=0, attempt=1)]),
        lambda: store.forget("job", Phase.MAP, [AttemptId(task=0, attempt=one) for one in (1, 2)]),
        lambda: store.commit(job, manifest(0)),
        lambda: store.seal(job, Phase.MAP, [0]),
        lambda: store.manifests(job, Phase.MAP, [0]),
        lambda: list(store.all_manifests(job, Phase.MAP)),
        lambda: store.log_attempt(job, report, verdict="ignored", at=1.0),
        lambda: store.logged(job, Phase.MAP, 1),
        lambda: store.count_ignored(job),
        lambda: store.erase(job),
        lambda: objects.put("a", b"x"),
        lambda: list(objects.stream("a")),
        lambda: objects.size("a"),
        lambda: objects.copy("a", "b"),
        lambda: list(objects.list("")),
        lambda: objects.delete(["a"]),
        output.check_empty,
        lambda: output.open_part("part-00002", worker=WORKER, announce=len),
        lambda: output.complete(part),
        lambda: output.discard_open([OpenedPart(part.name, part.worker, part.upload)]),
        output.begin_commit,
        lambda: output.publish(b"{}", {part.name}),
        lambda: output.withdraw([part]),
        lambda: writer.finish(records=0),
        writer.abandon,
        lambda: S3Inputs(services.s3).find([OUT]),
        lambda: list(S3Inputs(services.s3).stream(f"{OUT}/a", etag='"1"', start=0, stop=1)),
    )
    services.meet(SLOW_DOWN)
    for call in calls:
        with pytest.raises(TransientError):
            call()
    services.meet(none)
    output.complete(part)


# Erased jobs.


def test_erasing_a_job_deletes_its_items_in_every_slice(services: FaultyServices, store: DynamoDBJobStore) -> None:
    job = new_job(map_tasks=3000)
    assert job.spec.slices > 1
    store.create(job)
    store.claim_output(job.spec.output, job_id=job.spec.job_id)
    store.request_cancel(job.spec.job_id, at=1.0)
    store.begin(job.spec.job_id, [live(task) for task in range(5)])
    for task in range(5):
        store.commit(job, manifest(task))
        store.log_attempt(job, completion(job, task), verdict="ignored", at=1.0)
    assert store.count_ignored(job) == 5
    services.meet(all_of(half_of_each_batch, one_item_a_page))
    store.erase(job)
    services.meet(none)
    left = services.dynamodb.scan(TableName=TABLE, ConsistentRead=True)["Items"]
    assert not [item for item in left if job.spec.job_id in str(item)]


def completion(job: JobState, task: int) -> Report:
    return Report(
        job_id=job.spec.job_id, phase=Phase.MAP, task=task, attempt=1, token="t", worker=WORKER, manifest=manifest(task)
    )
