"""Handle a request in a Lambda environment or a local worker process: load the job's code, execute, report."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from s3mr import limits
from s3mr.errors import S3mrError, UserCodeError
from s3mr.formats.registry import get_format
from s3mr.formats.task_reader import TaskReader
from s3mr.model.job import JobSpec
from s3mr.model.report import Report, TaskRequest
from s3mr.ports import Clock, Entropy, Inputs, ObjectStore, Output, Parallel
from s3mr.shuffle.external_sort import Scratch
from s3mr.usercode.interpreter_state import InterpreterState, replaced_message
from s3mr.worker.execution import execute, failure_report
from s3mr.worker.job_code import JobCode
from s3mr.worker.plan_reader import PlanReader
from s3mr.worker.task_context import TaskContext


@dataclass(frozen=True, slots=True)
class TaskHandler:
    """Executes requests, one after another. User code stays loaded between requests of the same job.

    ``requests_sent`` returns how many requests this process has sent to services so far, by operation.
    """

    objects: ObjectStore
    inputs_of: Callable[[JobSpec], Inputs]
    output_of: Callable[[JobSpec], Output]
    parallel: Parallel
    clock: Clock
    entropy: Entropy
    scratch: Scratch
    code: JobCode
    requests_sent: Callable[[], dict[str, int]]
    plans: PlanReader = field(default_factory=PlanReader)
    untouched: InterpreterState = field(default_factory=InterpreterState)

    def handle(self, event: dict[str, Any]) -> dict[str, Any]:
        """Execute the attempt that ``event``, a `TaskRequest` as JSON, asks for; return its `Report` as JSON.

        Raises:
            ValidationError: the event is not a task request.
        """
        request = TaskRequest.model_validate(event)
        before = self.requests_sent()
        try:
            report = self._report(request)
        except Exception:
            replaced = self.untouched.restore()
            if not replaced:
                raise
        else:
            replaced = self.untouched.restore()
        if replaced:  # even if the task seemed to succeed: records may be missing
            report = failure_report(request, worker=None, error=UserCodeError(replaced_message(replaced)))
        return self._with_requests(report, before).model_dump(mode="json")

    def _report(self, request: TaskRequest) -> Report:
        try:
            functions = self.code.load(request.spec, self.objects)
        except S3mrError as error:
            return failure_report(request, worker=None, error=error)
        return execute(request, functions, self._context(request.spec))

    def _context(self, spec: JobSpec) -> TaskContext:
        return TaskContext(
            store=self.objects,
            output=self.output_of(spec),
            parallel=self.parallel,
            clock=self.clock,
            entropy=self.entropy,
            scratch=self.scratch,
            open_records=self._open_records,
        )

    def _open_records(self, request: TaskRequest) -> TaskReader:
        pointer = request.plan
        if pointer is None:
            raise ValueError("a map request has no plan")
        inputs = self.inputs_of(request.spec)
        return TaskReader(
            inputs,
            self.plans.map_task(request.spec, pointer, self.objects),
            get_format(request.spec.input_format),
            record_bytes_max=limits.record_bytes_max(request.spec.memory_bytes),
        )

    def _with_requests(self, report: Report, before: dict[str, int]) -> Report:
        if report.manifest is None:
            return report
        sent = {name: count - before.get(name, 0) for name, count in self.requests_sent().items()}
        counters = report.manifest.counters.model_copy(update={"requests": sent})
        return report.model_copy(update={"manifest": report.manifest.model_copy(update={"counters": counters})})
