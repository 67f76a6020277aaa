"""The real coordinator, recorder, workers and commands, on simulated ports."""

import io
from dataclasses import dataclass
from typing import Any, Final

from s3mr import limits
from s3mr.adapters.memory.memory_data import MemoryFolder, MemoryInputs, MemoryOutput
from s3mr.coordinator.launcher import Launcher
from s3mr.coordinator.recorder import Recorder
from s3mr.coordinator.resumer import Resumer
from s3mr.coordinator.submission import Submission, Submitter
from s3mr.coordinator.ticker import Ticker
from s3mr.formats.registry import get_format
from s3mr.formats.task_reader import TaskReader
from s3mr.model import object_names
from s3mr.model.plan_codec import decode_map_task
from s3mr.model.report import Report, TaskRequest
from s3mr.ports import Invoker, JobStore, ObjectStore
from s3mr.worker.execution import execute
from s3mr.worker.task_context import TaskContext
from s3mr.worker.user_functions import Functions
from tests.simulation import oracle
from tests.simulation.faults import Faults
from tests.simulation.history import History, attempt_of
from tests.simulation.ports import AnyOrder, Operations, SeededEntropy, VirtualClock
from tests.simulation.scenario import RIVAL, Scenario
from tests.submissions import submission

OUTPUT: Final = "mem://out"
CLAIMED_ELSEWHERE: Final = "mem://out?table=another"  # the same output, for a job in another table


class InjectedError(Exception):
    """Raised by a user's function."""


@dataclass(frozen=True)
class Parts:
    """Creates the parts of s3mr. ``store`` and ``objects`` are the ports of table and bucket."""

    scenario: Scenario
    operations: Operations
    faults: Faults
    history: History
    store: JobStore
    objects: ObjectStore
    inputs: MemoryInputs
    folder: MemoryFolder
    clock: VirtualClock
    entropy: SeededEntropy
    parallel: AnyOrder

    def recorder(self) -> Recorder:
        """Return the recorder of one function's environment."""
        return Recorder(self.store, self.clock)

    def ticker(self, invoker: Invoker) -> Ticker:
        """Return the coordinator of one function's environment."""
        launcher = Launcher(
            self.store, self.objects, self._port(invoker, "invoker"), self.parallel, self.clock, self.scenario.waiting_s
        )
        return Ticker(
            store=self.store,
            objects=self.objects,
            output_of=lambda spec: self._output_of(spec.job_id),
            launcher=launcher,
            parallel=self.parallel,
            clock=self.clock,
            entropy=self.entropy,
            scratch=io.BytesIO,
            capacity=self.scenario.capacity,
        )

    def resumer(self) -> Resumer:
        """Return what a person's command uses to submit and resume."""
        submitter = Submitter(
            inputs_of=lambda _pays: self._port(self.inputs, "inputs"),
            objects=self.objects,
            store=self.store,
            output_of=lambda spec: self._output_of(spec.job_id),
            clock=self.clock,
            entropy=self.entropy,
            scratch=io.BytesIO,
        )
        return Resumer(submitter, self.parallel)

    def submission(self, name: str) -> Submission:
        """Return the submission of the job with that name."""
        scenario = self.scenario.job_of(name)
        return submission(
            bundle=b"code",
            name=name,
            inputs=sorted(self.inputs.objects),
            output=CLAIMED_ELSEWHERE if name == RIVAL and self.scenario.rival_elsewhere else OUTPUT,
            reduces=scenario.reducers > 0,
            reducers=scenario.reducers or None,
            split_size=scenario.split_size_bytes,
            layout=scenario.layout,
            memory_bytes=limits.MEMORY_BYTES_MIN,
            attempts=scenario.attempts,
            task_timeout_s=scenario.task_timeout_s,
            keep_intermediate=scenario.keeps,
            deadline=scenario.deadline_s,
            workers=scenario.workers,
        )

    def work(self, request: TaskRequest) -> Report:
        """Execute a request, as a worker does."""
        context = TaskContext(
            store=self.objects,
            output=self._output_of(request.spec.job_id),
            parallel=self.parallel,
            clock=self.clock,
            entropy=self.entropy,
            scratch=io.BytesIO,
            open_records=self._open_records,
        )
        return execute(request, self._functions(request), context)

    def _open_records(self, request: TaskRequest) -> TaskReader:
        pointer = request.plan
        assert pointer is not None
        stop = pointer.offset_bytes + pointer.length_bytes
        plan = self.objects.stream(object_names.plan(request.spec.job_id), start=pointer.offset_bytes, stop=stop)
        inputs = self._port(self.inputs, "inputs")
        return TaskReader(inputs, decode_map_task(b"".join(plan), pointer), get_format("text"))

    def _functions(self, request: TaskRequest) -> Functions:
        """Return the job's functions. Any of them may raise at any call."""
        scenario = self.scenario.job_of(request.spec.bundle.name)
        good, where = oracle.functions(scenario), f"{request.phase} {request.task}"
        if not (scenario.poison or "raise" in scenario.rates):
            return good

        def raising(function: Any) -> Any:
            def call(first: Any, second: Any) -> Any:
                poisoned = function is good.map and scenario.poison and second == oracle.POISON
                if poisoned or self.faults.strikes("raise", where):
                    self.history.raised.add(attempt_of(request))
                    raise InjectedError("poison" if poisoned else "by chance")
                return function(first, second)

            return function and call

        return Functions(
            map=raising(good.map),
            reduce=raising(good.reduce),
            combine=raising(good.combine),
            partition=raising(good.partition),
        )

    def _output_of(self, job_id: str) -> Any:
        return self._port(MemoryOutput(self.folder, job_id), "output")

    def _port(self, real: Any, name: str) -> Any:
        return self.operations.port(real, name)
