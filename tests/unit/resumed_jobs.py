"""Failed jobs over honest fakes, for tests of resuming."""

import io
from collections.abc import Iterator
from typing import Any

from s3mr.adapters.memory.memory_data import MemoryOutput
from s3mr.adapters.system import InTurn
from s3mr.api import Job
from s3mr.coordinator.resumer import Resumer
from s3mr.coordinator.submission import Submitter
from s3mr.model import object_names
from s3mr.model.job import JobState, Phase
from tests.unit.word_count import TEXT, expected_counts, total, words
from tests.world import World


class FaultyJob:
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
    """Return a resumer as a new process would create it."""
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


def failed(faulty: FaultyJob, **order: Any) -> World:
    """Return a world whose job has failed, and would now succeed."""
    one = World(faulty.job(), TEXT)
    one.submit(**order)
    assert one.finish().phase is Phase.FAILED
    faulty.broken = False
    return one


def resumed(one: World, job_id: str | None = None, **changes: Any) -> JobState:
    state = resumer(one).plan_again(job_id or one.job_id, **changes)
    one.job_id = state.spec.job_id
    return state


def finished(one: World) -> JobState:
    state = one.finish()
    assert state.phase is Phase.SUCCEEDED, state.failure
    assert sorted(one.output().splitlines()) == expected_counts()
    assert not one.folder.uploads
    assert not list(one.real_objects.list(object_names.job_prefix(one.job_id)))
    assert not list(one.real_objects.list(object_names.plan_prefix(one.job_id)))
    return state


def map_winners(one: World, job_id: str) -> set[int]:
    job = one.real_store.read_job(job_id)
    assert job is not None
    return {manifest.task for manifest in one.real_store.all_manifests(job, Phase.MAP)}


def stored(one: World, job_id: str) -> list[str]:
    return list(one.real_objects.list(object_names.job_prefix(job_id)))
