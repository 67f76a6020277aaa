"""The number of requests of a job, counted by the services. Input, intermediates and output are in S3."""

import json
from collections.abc import Iterator
from math import ceil
from textwrap import dedent
from typing import Any

import boto3
import pytest
from mypy_boto3_s3 import S3Client

from s3mr.local.prefetch import AHEAD_S, QUEUED_MIN
from s3mr.model.job import Phase
from s3mr.model.manifest import unpack_pieces
from tests.integration.endpoint.conftest import Place
from tests.integration.endpoint.counting import Bill, Counting, counting_services
from tests.slow import slow

WORKERS = 2
OUTSIDE_TICKS = 4  # submit writes the job, its entry in the list of jobs and the claim; record reads the job once
LOOKS = 1  # requests that check whether the bucket, and the table, exist
JOB = """
    from s3mr import Job

    def words(source, text):
        for word in text.split():
            yield word, 1

    def total(word, counts):
        yield word, sum(counts)

    job = Job(map=words, combine=total, reduce=total, input="whole")
    only_map = Job(map=words, input="whole")
"""


@pytest.fixture(scope="module")
def counted() -> Iterator[tuple[str, Counting]]:
    with counting_services() as serving:
        yield serving


@pytest.fixture(scope="module")
def url(counted: tuple[str, Counting]) -> str:
    return counted[0]


@pytest.fixture
def users(place: Place, request: pytest.FixtureRequest) -> str:
    """The user's bucket; s3mr's own bucket and table exist already, as after an earlier job."""
    (place.here / "job.py").write_text(dedent(JOB))
    name = f"users-{abs(hash(request.node.name)) % 10**8}"
    s3: S3Client = boto3.client("s3", endpoint_url=place.url, region_name="us-east-1")
    s3.create_bucket(Bucket=name)
    place.stack.objects.create_bucket()
    place.stack.store.create_table()
    return name


def run(place: Place, counting: Counting, users: str, *, maps: int, reducers: int) -> tuple[Bill, dict[str, Any]]:
    """Run a job with ``maps`` inputs and ``reducers``; return the counted requests and the job's own result."""
    s3: S3Client = boto3.client("s3", endpoint_url=place.url, region_name="us-east-1")
    for number in range(maps):
        s3.put_object(Bucket=users, Key=f"in/{number:05}", Body=b"to be or not to be %d\n" % number)
    bill = counting.bill = Bill()
    shape = ["--reducers", str(reducers)] if reducers else []
    done = place.s3mr(
        *("run", "job.py:job" if reducers else "job.py:only_map", f"s3://{users}/in/", "--output", f"s3://{users}/out"),
        *("--split-size", "1", "--layout", "packed", "--workers", str(WORKERS), "--json", *shape),
    )
    assert done.returncode == 0, done.stderr.decode()
    counting.bill = Bill()  # do not count the test's own requests
    result = json.loads(done.stdout)
    reported = result["requests"]
    assert reported["s3_put_class"] == bill.put_class - bill.deleted
    assert reported["s3_get_class"] == bill.get_class + LOOKS
    assert reported["dynamodb"] == bill.dynamodb.total() + LOOKS
    return bill, result


@pytest.mark.parametrize(
    ("maps", "reducers"), [(1, 1), (3, 4), (40, 8), pytest.param(60, 8, marks=slow), pytest.param(300, 3, marks=slow)]
)
def test_the_requests_of_a_job_are_bounded_by_its_map_tasks_and_reducers(
    place: Place, counted: tuple[str, Counting], users: str, maps: int, reducers: int
) -> None:
    bill, result = run(place, counted[1], users, maps=maps, reducers=reducers)
    job = place.newest()
    assert (job.spec.map_tasks, job.spec.reducers, job.attempts) == (maps, reducers, maps + reducers)
    winners = place.stack.store.all_manifests(job, Phase.MAP)
    pieces = sum(piece.length_bytes > 0 for one in winners for piece in unpack_pieces(one.pieces or b""))
    segments = ceil(maps / 1000)
    assert bill.put_class <= maps + 4 * reducers + segments + 13
    assert bill.get_class <= 2 * maps + maps + pieces + reducers * segments + WORKERS + 10
    assert bill.stored_bytes == result["counters"]["shuffle_bytes"] == bill.fetched_bytes
    check_table(bill, tasks=maps + reducers, elapsed_s=result["elapsed_s"])


@pytest.mark.parametrize("maps", [1, 20, pytest.param(100, marks=slow)])
def test_the_requests_of_a_map_only_job_are_bounded_by_its_map_tasks(
    place: Place, counted: tuple[str, Counting], users: str, maps: int
) -> None:
    bill, result = run(place, counted[1], users, maps=maps, reducers=0)
    assert bill.put_class <= 4 * maps + 13
    assert bill.get_class <= 2 * maps + maps + WORKERS + 10
    check_table(bill, tasks=maps, elapsed_s=result["elapsed_s"])


def check_table(bill: Bill, *, tasks: int, elapsed_s: float) -> None:
    """Check that tasks and ticks bound the requests to the table, and that ticks are fewer than tasks.

    Workers whose tasks take long have short queues: then a report causes a tick, but few tasks fit into the time.
    """
    slow_tasks = min(tasks, WORKERS * elapsed_s * (QUEUED_MIN + 1) / AHEAD_S)
    assert bill.dynamodb.total() <= 2.2 * tasks + 4 * bill.ticks + OUTSIDE_TICKS
    assert bill.ticks <= 12 + tasks / 4 + slow_tasks * 3 / 4
