"""How many worker processes a pool starts, and when."""

import errno
import os
import queue
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from s3mr.errors import S3mrError
from s3mr.local.cloud import EmbeddedCloud
from s3mr.local.worker_pool import WorkerPool
from s3mr.model.job import Phase
from s3mr.model.report import Report, TaskRequest
from s3mr.processes.chaos import Chaos
from s3mr.processes.process_start import Worker, start_worker
from s3mr.worker.user_functions import Functions
from tests.unit.workshop import Cloud

PATIENCE_S = 60.0


@contextmanager
def pool_of(
    count: int,
    cloud: EmbeddedCloud,
    born: "queue.Queue[int]",
    reports: "queue.Queue[Report]",
    start: Callable[[Mapping[str, str], int | None], Worker] = start_worker,
) -> Iterator[WorkerPool]:
    pool = WorkerPool(
        count,
        chaos=Chaos.parse(""),
        environment={**os.environ, **cloud.settings.to_environment()},
        stderr=None,
        record=reports.put,
        on_start=born.put,
        on_end=lambda _pid: None,
        start=start,
    )
    try:
        yield pool
    finally:
        pool.close()


def request(task: int) -> TaskRequest:
    """A request whose report is a failure, because its job has no code."""
    return Cloud([[]] * 9, Functions(map=lambda _source, _record: ())).request(Phase.MAP, task)


def test_one_worker_serves_a_job_that_never_has_two_attempts_at_once(cloud: EmbeddedCloud) -> None:
    born, reports = queue.Queue[int](), queue.Queue[Report]()
    with pool_of(4, cloud, born, reports) as pool:
        for task in range(3):
            pool.invoke(request(task))
            assert reports.get(timeout=PATIENCE_S).task == task
            pool.wait(PATIENCE_S, enough=0)
    assert born.qsize() == 1


def test_a_pool_starts_a_worker_for_each_expected_attempt_in_advance(cloud: EmbeddedCloud) -> None:
    born, reports = queue.Queue[int](), queue.Queue[Report]()
    with pool_of(4, cloud, born, reports) as pool:
        pool.expect(3)
        pids = {born.get(timeout=PATIENCE_S) for _ in range(3)}
    assert (len(pids), born.qsize()) == (3, 0)


def test_waiting_attempts_start_another_worker(cloud: EmbeddedCloud) -> None:
    born, reports = queue.Queue[int](), queue.Queue[Report]()
    with pool_of(2, cloud, born, reports) as pool:
        slow = born.get(timeout=PATIENCE_S)
        os.kill(slow, signal.SIGSTOP)
        for task in range(9):
            pool.invoke(request(task))
        assert born.get(timeout=PATIENCE_S) != slow
        os.kill(slow, signal.SIGCONT)
        assert {reports.get(timeout=PATIENCE_S).task for _ in range(9)} == set(range(9))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (ValueError("something else"), "something else"),
    ],
)
def test_a_worker_that_cannot_be_started_ends_the_wait_with_advice(
    cloud: EmbeddedCloud, error: Exception, advice: str
) -> None:
    def full(_environment: Mapping[str, str], _stderr: int | None) -> Worker:
        raise error

    with pool_of(2, cloud, queue.Queue(), queue.Queue(), full) as pool:
        pool.invoke(request(0))
        with pytest.raises(S3mrError, match=advice):
            pool.wait(PATIENCE_S, enough=0)
