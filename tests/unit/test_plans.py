"""A worker reads its plan ahead, for one job after another."""

from collections.abc import Iterator

from s3mr.adapters.memory.memory_stores import MemoryObjectStore
from s3mr.model import object_names
from s3mr.model.job import JobSpec
from s3mr.model.plan import MapTask, Pointer, Split
from s3mr.model.plan_codec import POINTER_BYTES, decode_pointer, encode_plan
from s3mr.worker.plan_reader import PlanReader
from s3mr.worker.user_functions import Functions
from tests.unit.workshop import Cloud


class CountingStore(MemoryObjectStore):
    reads = 0

    def stream(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        self.reads += 1
        return super().stream(key, start=start, stop=stop)


def planned(store: MemoryObjectStore, job_id: str, sources: list[str]) -> tuple[JobSpec, list[Pointer]]:
    """Write a job's plan with one task per source; return its spec and the pointers to its tasks."""
    tasks = [MapTask(splits=(Split(source=one, size_bytes=1, etag="e", start=0, stop=1),)) for one in sources]
    plan = bytearray()
    summary = encode_plan(tasks, plan.extend)
    store.put(object_names.plan(job_id), bytes(plan))
    at = [summary.index_offset_bytes + POINTER_BYTES * number for number in range(len(tasks))]
    spec = Cloud([], Functions(map=lambda _source, _record: ())).spec
    spec = spec.model_copy(update={"job_id": job_id, "plan_index_offset_bytes": summary.index_offset_bytes})
    return spec, [decode_pointer(bytes(plan[start : start + POINTER_BYTES])) for start in at]


def read(reader: PlanReader, store: MemoryObjectStore, spec: JobSpec, pointer: Pointer) -> str:
    (split,) = reader.map_task(spec, pointer, store).splits
    return split.source


def test_adjacent_tasks_are_read_with_one_request_in_any_order() -> None:
    store, reader = CountingStore(), PlanReader()
    sources = [f"file-{number:03}" for number in range(100)]
    spec, pointers = planned(store, "one", sources)
    assert [read(reader, store, spec, pointer) for pointer in pointers] == sources
    assert store.reads == 1
    assert read(PlanReader(), store, spec, pointers[99]) == "file-099"


def test_a_long_plan_is_read_in_a_few_requests_and_every_task_is_right() -> None:
    store, reader = CountingStore(), PlanReader()
    sources = [f"{'x' * 300}-{number:04}" for number in range(1_000)]
    spec, pointers = planned(store, "one", sources)
    assert [read(reader, store, spec, pointer) for pointer in pointers] == sources
    assert 2 < store.reads < 20
    assert read(reader, store, spec, pointers[0]) == sources[0]


def test_the_plan_of_another_job_is_read_even_at_the_same_offset() -> None:
    store, reader = CountingStore(), PlanReader()
    one, at_one = planned(store, "one", ["a", "b"])
    two, at_two = planned(store, "two", ["c", "d"])
    assert at_one[0].offset_bytes == at_two[0].offset_bytes
    assert [read(reader, store, spec, at[0]) for spec, at in ((one, at_one), (two, at_two), (one, at_one))] == [
        "a",
        "c",
        "a",
    ]
