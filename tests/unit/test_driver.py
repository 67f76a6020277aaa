"""Driving a job from this process, over honest fakes: leases include waiting time, and a late zombie leaves nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from s3mr import limits
from s3mr.adapters.memory.memory_data import MemoryOutput
from s3mr.local.driver import NoView, Run
from s3mr.local.prefetch import Prefetch
from s3mr.model.job import JobState, Phase
from tests.unit.word_count import finished, world
from tests.world import World, open_noted


@dataclass
class OneWorker:
    """A pool of one worker that executes one attempt after the other, each in ``task_s``."""

    one: World
    pace: Prefetch
    task_s: float = 0.0
    left: int = 0
    running: int = 0
    close: Callable[[], object] = lambda: None

    def wait(self, wait_s: float, **_enough: int) -> None:
        if not self.one.sent:
            self.one.clock.sleep(max(wait_s, 0.01))
            return
        self.one.clock.sleep(self.task_s)
        self.one.record(self.one.execute(self.one.sent.popleft()))


def driven(one: World, pool: OneWorker, **changes: Any) -> JobState:
    """Drive a job in an embedded cloud to its end; return it."""
    stack = SimpleNamespace(
        clock=one.clock,
        store=one.real_store,
        objects=one.real_objects,
        output_of=lambda spec: MemoryOutput(one.folder, spec.job_id),
    )
    cloud: Any = SimpleNamespace(stack=stack, lasting=False)
    cloud.job_is_recorded = cloud.check = lambda: None
    cloud.job_is_over = lambda _spec: None
    workers: Any = pool
    one.submit(**changes)
    run = Run(cloud, workers, one.ticker(), one.job_id, NoView(), task_timeout_s=60.0)
    return run.to_its_end(lambda: None, again=False)


def test_an_attempt_that_waits_for_all_others_to_use_their_time_is_not_lost() -> None:
    one, pace = world(), Prefetch(1, 0.01)
    state = driven(one, OneWorker(one, pace, task_s=60.0), task_timeout_s=60.0)
    finished(one)
    assert 60.0 * state.spec.map_tasks > limits.lease_s(60.0), "without the queue, the last lease would have run out"
    assert state.spec.map_tasks <= pace.queued
    assert (state.retried, state.attempts) == (0, state.spec.map_tasks + state.spec.reducers)


def test_an_upload_that_a_killed_zombie_left_in_the_users_bucket_is_aborted() -> None:
    one = world()
    opened = []

    def close() -> None:
        opened.append(open_noted(one, worker="f" * 16))

    state = driven(one, OneWorker(one, Prefetch(1), left=1, close=close), output="s3://results/out")
    assert state.phase is Phase.SUCCEEDED
    assert len(opened) == 1
    assert not one.folder.uploads
