"""A remote home for the world's jobs, over honest fakes, and a clock that drives them."""

from dataclasses import dataclass, field
from typing import Any

from s3mr.errors import S3mrError, TransientError
from s3mr.ports import Clock, JobStore, ObjectStore
from tests.unit.word_count import world
from tests.world import World, died


@dataclass
class WorkingClock:
    """A clock whose sleeps let the world's coordinator and workers run. Raises Ctrl-C at sleep ``interrupted_at``."""

    one: World
    sleeps: list[float] = field(default_factory=list)
    works: bool = True
    interrupted_at: int | None = None

    def now(self) -> float:
        return self.one.clock.now()

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.one.clock.sleep(seconds)
        if len(self.sleeps) == self.interrupted_at:
            raise KeyboardInterrupt
        if self.works:
            self.one.work()
            self.one.tick()


@dataclass
class RemoteHome:
    """A `JobHome` with the world's jobs."""

    one: World
    time: WorkingClock
    objects: ObjectStore
    store: JobStore
    carried_on: list[float] = field(default_factory=list)  # the times of the calls
    ended: list[str] = field(default_factory=list)
    option: str = "--stack far"
    coordinated: bool | None = True

    @property
    def stack(self) -> "RemoteHome":
        return self

    @property
    def clock(self) -> Clock:
        return self.time

    def has_coordinator(self, job_id: str) -> bool | None:
        assert job_id == self.one.job_id
        return self.coordinated

    def carry_on(self, job_id: str) -> None:
        assert job_id == self.one.job_id
        self.carried_on.append(self.clock.now())

    def bring_to_its_end(self, job_id: str) -> None:
        self.ended.append(job_id)


def home_of(one: World, **time: Any) -> RemoteHome:
    return RemoteHome(one, WorkingClock(one, **time), one.real_objects, one.real_store)


def submitted(**changes: Any) -> World:
    one = world()
    one.submit(**changes)
    return one


def failing() -> World:
    """Return a world in which every attempt has died."""
    one = submitted(attempts=1)
    one.tick()
    for request in list(one.sent):
        one.record(died(request))
    one.sent.clear()
    return one


class UnreachableStore:
    """A store that is unreachable for some reads."""

    def __init__(self, store: JobStore, reads: range, error: S3mrError | None = None) -> None:
        self._store, self._reads, self._read = store, reads, 0
        self._error = error or TransientError("out of reach")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read_job(self, job_id: str) -> Any:
        self._read += 1
        if self._read in self._reads:
            raise self._error
        return self._store.read_job(job_id)
