"""An in-memory task context for executions, and a minimal coordinator that runs one job."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import google_crc32c

from s3mr.adapters.memory.memory_stores import MemoryObjectStore
from s3mr.model import object_names
from s3mr.model.job import Phase
from s3mr.model.manifest import Part
from s3mr.model.report import Report, TaskRequest
from s3mr.shuffle.shuffle_index import encode_segment
from s3mr.worker.execution import execute
from s3mr.worker.task_context import TaskContext
from s3mr.worker.user_functions import Functions
from tests.submissions import some_spec

Texts = list[list[str]]


class Records:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.consumed_bytes = 0

    def __iter__(self) -> Iterator[tuple[str, list[str]]]:
        for line in self._lines:
            self.consumed_bytes += len(line) + 1
            yield "input.txt", [line]


class Writer:
    def __init__(self, output: "WritableOutput", name: str, worker: str) -> None:
        self._output, self._name, self._worker, self._data = output, name, worker, b""

    def write(self, data: bytes) -> None:
        self._data += data

    def finish(self, *, records: int) -> Part:
        self._output.parts[self._name] = self._data
        return Part(
            name=self._name,
            worker=self._worker,
            upload="u",
            etags=(),
            size_bytes=len(self._data),
            records=records,
            crc32c=google_crc32c.value(self._data),
        )

    def abandon(self) -> None:
        self._output.abandoned.append(self._name)


class WritableOutput:
    """The part of an output that workers use."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.abandoned: list[str] = []

    def open_part(self, name: str, *, worker: str, announce: Callable[[str], object]) -> Writer:  # noqa: ARG002 - as a folder
        return Writer(self, name, worker)


class Sequential:
    def map(self, function: Callable[[Any], Any], items: Iterable[Any], *, width: int) -> Iterator[Any]:
        assert width > 0
        return map(function, items)


class TickingClock:
    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        self._now += 1
        return self._now

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


class CountingDigits:
    def __init__(self) -> None:
        self._drawn = 0

    def hex(self, digits: int) -> str:
        self._drawn += 1
        return f"{self._drawn:0{digits}x}"


class Cloud:
    """A job's context, with its coordinator in ten lines."""

    def __init__(self, texts: Texts, functions: Functions, *, reducers: int = 3, layout: str = "packed") -> None:
        self.texts, self.functions = texts, functions
        self.store, self.output = MemoryObjectStore(), WritableOutput()
        self.scratch: Callable[[], BinaryIO] = io.BytesIO
        self.entropy = CountingDigits()
        self.spec = some_spec(map_tasks=len(texts), reducers=reducers, layout=layout, task_timeout_s=9.0, output="out")

    def request(self, phase: Phase, task: int, *, start_by: float = 1e10) -> TaskRequest:
        return TaskRequest(spec=self.spec, phase=phase, task=task, attempt=2, token="t", start_by=start_by)

    def run(self, phase: Phase, task: int, *, start_by: float = 1e10) -> Report:
        request = self.request(phase, task, start_by=start_by)
        context = TaskContext(
            store=self.store,
            output=self.output,  # type: ignore[arg-type] # workers only open parts
            parallel=Sequential(),
            clock=TickingClock(),
            entropy=self.entropy,
            scratch=self.scratch,
            open_records=lambda asked: Records(self.texts[asked.task]),
        )
        return execute(request, self.functions, context)

    def map_all(self) -> list[Report]:
        reports = [self.run(Phase.MAP, task) for task in range(self.spec.map_tasks)]
        entries = []
        for report in reports:
            assert report.manifest is not None, report.failure
            assert report.manifest.pieces is not None
            entries.append((report.manifest.worker, report.manifest.pieces))
        columns = encode_segment(entries, layout=self.spec.layout, reducers=self.spec.reducers)
        self.store.put(object_names.index_segment("job", 0), b"".join(column for column, _ in columns))
        return reports
