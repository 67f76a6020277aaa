"""Read tasks from the plan. A worker reads ahead, because its next tasks are stored close by."""

from dataclasses import dataclass
from typing import Final

from s3mr.model import object_names
from s3mr.model.job import JobSpec
from s3mr.model.plan import MapTask, Pointer
from s3mr.model.plan_codec import decode_map_task
from s3mr.ports import ObjectStore

_AHEAD_BYTES: Final = 64 * 1024  # about a hundred tasks of one object each


@dataclass(slots=True, eq=False)
class PlanReader:
    """The part of a plan that this process has read, for its last job: the bytes from ``_start`` on."""

    _job_id: str = ""
    _start: int = 0
    _held: bytes = b""

    def map_task(self, spec: JobSpec, pointer: Pointer, objects: ObjectStore) -> MapTask:
        """Return the task at ``pointer``.

        Raises:
            InvariantError: the plan is missing or damaged.
        """
        start, stop = pointer.offset_bytes, pointer.offset_bytes + pointer.length_bytes
        if self._job_id != spec.job_id or not self._start <= start <= stop <= self._start + len(self._held):
            ahead = min(start + _AHEAD_BYTES, spec.plan_index_offset_bytes)  # the tasks end where the pointers start
            self._held = b"".join(objects.stream(object_names.plan(spec.job_id), start=start, stop=max(stop, ahead)))
            self._job_id, self._start = spec.job_id, start
        return decode_map_task(self._held[start - self._start : stop - self._start], pointer)
