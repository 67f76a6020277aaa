"""Workers that only take time: a duration, drawn from the seed, and the report of a task that lost nothing."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from math import log
from random import Random
from typing import Any, Final

from s3mr import limits
from s3mr.adapters.memory.memory_data import MemoryOutput
from s3mr.coordinator.destinations import receive
from s3mr.coordinator.recorder import Recorder, Verdict
from s3mr.model import object_names
from s3mr.model.job import JobSpec, Phase
from s3mr.model.manifest import Books, Manifest, Piece, pack_pieces
from s3mr.model.report import Report, TaskRequest
from s3mr.model.statistics import Counters
from tests.simulation.loop import Loop
from tests.simulation.scale.meter import Meter, Sample, traced
from tests.simulation.scale.services import Objects

INPUT_BYTES: Final = 64 * limits.MIB  # one object, and one map task
MEDIAN_S: Final = {Phase.MAP: 20.0, Phase.REDUCE: 30.0}
SPREAD: Final = 0.25  # sigma of the lognormal distribution
STRAGGLERS: Final = 0.01
SLOWER: Final = 10.0
#: Virtual seconds of transit.
START_S: Final = 0.100  # from the invocation to the worker's start
REPORT_S: Final = 0.100  # from the worker's end until its report is recorded
RECORDS_TRACED: Final = 100  # every n-th has its memory measured, without its time


@dataclass(frozen=True, slots=True)
class Shape:
    """A job to run."""

    map_tasks: int
    reducers: int
    concurrent: int
    seed: int = 1

    @property
    def tasks(self) -> int:
        return self.map_tasks + self.reducers


def duration_s(seed: int, request: TaskRequest) -> float:
    """Return how long an attempt takes, always the same for the same attempt."""
    random = Random(f"{seed}/{request.phase}/{request.task}/{request.attempt}")
    slower = SLOWER if random.random() < STRAGGLERS else 1.0
    drawn_s = random.lognormvariate(log(MEDIAN_S[request.phase]), SPREAD) * slower
    return min(drawn_s, request.spec.task_timeout_s - 1)


class Workers:
    """Lambda, its destinations, and the workers (the `Invoker` port)."""

    def __init__(
        self,
        shape: Shape,
        loop: Loop,
        meter: Meter,
        recorder: Recorder,
        objects: Objects,
        output_of: Callable[[JobSpec], MemoryOutput],
    ) -> None:
        self.running = self.running_max = 0
        self.verdicts: Counter[str] = Counter()
        self.records = Sample()
        self._shape, self._loop, self._meter, self._recorder = shape, loop, meter, recorder
        self._objects, self._output_of = objects, output_of
        self._random = Random(f"s3mr/scale/{shape.seed}")

    def hex(self, digits: int) -> str:
        """Return digits (the `Entropy` port)."""
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"

    def invoke(self, request: TaskRequest) -> None:
        payload = request.model_dump_json()
        self._meter.see("request of an attempt, bytes", len(payload.encode()))
        self._loop.after(START_S, partial(self._start, request, payload))

    def _start(self, request: TaskRequest, payload: str) -> None:
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        takes_s = duration_s(self._shape.seed, request)
        self._loop.after(takes_s, partial(self._finish, request, payload, takes_s))

    def _finish(self, request: TaskRequest, payload: str, took_s: float) -> None:
        with self._meter.charging("workers"):
            self.running -= 1
            report = self._report(request, took_s).model_dump_json()
            context = '{"requestId":"00000000-0000-0000-0000-000000000000","condition":"Success"}'
            event = (
                f'{{"version":"1.0","requestContext":{context},"requestPayload":{payload},"responsePayload":{report}}}'
            )
            self._meter.see("a destination's record, bytes", len(event.encode()))
        self._loop.after(REPORT_S, partial(self._record, event))

    def _record(self, event: str) -> None:
        under_trace = tracemalloc.is_tracing()  # memory of a tick is measured: no time counts
        chosen = not under_trace and self.records.calls % RECORDS_TRACED == 0
        began_s = self._meter.cpu_s["record"]
        with self._meter.charging("record"):
            step = partial(self._receive, event)
            peak_bytes, verdict = traced(step) if chosen else (None, step())
        if under_trace:
            self.records.calls += 1
        else:
            self.records.count(self._meter.cpu_s["record"] - began_s, peak_bytes)
        self.verdicts[verdict] += 1

    def _receive(self, event: str) -> Verdict:
        _, verdict = receive(self._recorder, json.loads(event))
        return verdict

    def _report(self, request: TaskRequest, took_s: float) -> Report:
        named = {"phase": request.phase, "task": request.task, "attempt": request.attempt, "worker": self.hex(16)}
        written = self._mapped if request.phase is Phase.MAP else self._reduced
        manifest = Manifest(**named, duration_s=took_s, **written(request, str(named["worker"]), took_s))
        return Report(job_id=request.spec.job_id, token=request.token, manifest=manifest, **named)

    def _mapped(self, request: TaskRequest, worker: str, took_s: float) -> dict[str, Any]:
        row, packed = self._row
        size_bytes = sum(piece.length_bytes for piece in row)
        name = object_names.packed_pieces(request.spec.job_id, worker=worker, map_task=request.task)
        self._objects.sizes[name] = size_bytes
        counters = Counters(
            records_in=500_000,
            bytes_in=INPUT_BYTES,
            pairs_mapped=5_000_000,
            shuffle_records=sum(piece.records for piece in row),
            shuffle_bytes=size_bytes,
            busy_s=took_s,
            requests={"s3:GetObject": 3, "s3:PutObject": 1},
        )
        return {"counters": counters, "key_type": "str", "pieces": packed}

    def _reduced(self, request: TaskRequest, worker: str, took_s: float) -> dict[str, Any]:
        row, _ = self._row
        piece, map_tasks = row[request.task], request.spec.map_tasks
        writer = self._output_of(request.spec).open_part(object_names.part(request.task), worker=worker, announce=len)
        writer.write(b"key\t1\n")
        part = writer.finish(records=1)
        books = Books(records=piece.records * map_tasks, checksum=piece.crc32c * map_tasks % 2**32)
        counters = Counters(
            records_out=1, bytes_out=6, busy_s=took_s, requests={"s3:GetObject": map_tasks, "s3:UploadPart": 1}
        )
        return {"counters": counters, "books": books, "part": part}

    @cached_property
    def _row(self) -> tuple[list[Piece], bytes]:
        """Return the pieces of any map task: all wrote the same, because real ones would not fit into memory."""
        draw = self._random.randrange
        row = [Piece(draw(1_000, 60_000), draw(10, 1_000), draw(2**32)) for _ in range(self._shape.reducers)]
        return row, pack_pieces(row)
