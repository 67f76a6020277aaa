"""Submit: turn what was asked into a plan, a spec and a job in the table. Everything that can be refused is, here."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, get_args

from s3mr import limits
from s3mr.coordinator.claim import claim_output
from s3mr.errors import RequestError, S3mrError
from s3mr.formats.registry import get_format
from s3mr.formats.task_reader import splittable_by
from s3mr.model import object_names
from s3mr.model.job import BundleRef, Failure, FailureKind, JobSpec, JobState, Phase, WorkerFunctions
from s3mr.model.plan_codec import encode_plan
from s3mr.policy.planning import (
    RequestedLayout,
    check_shape,
    choose_layout,
    choose_reducers,
    choose_split_size,
    plan_splits,
)
from s3mr.ports import Clock, Entropy, Inputs, JobStore, ObjectStore, Output

ACTIVE_PHASES = (Phase.MAP, Phase.REDUCE)


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, defaults filled in.

    ``reducers``: 0 without reduce, None for one for each ``reducer_bytes`` of input, at least one for each of
    ``even_workers`` and at most ``reducers_max``. ``split_size_bytes``: None for one with which as many map tasks fall
    to each of ``even_workers``.
    """

    bundle: bytes
    module: str
    name: str
    inputs: Sequence[str]
    output: str
    reducers: int | None
    input_format: str
    split_size_bytes: int | None
    layout: RequestedLayout
    memory_bytes: int
    attempts: int
    task_timeout_s: float
    params: dict[str, str]
    keep_intermediate: bool
    deadline_s: float = limits.DEADLINE_S
    requester_pays: bool = False
    workers: int | None = None
    even_workers: int = 1
    split_bytes_max: int = limits.SPLIT_SIZE_BYTES
    reducer_bytes: int = limits.REDUCER_BYTES
    reducers_max: int = limits.REDUCERS_CHOSEN_MAX
    functions: WorkerFunctions | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that could be submitted: its spec, its plan in a temporary file, its code."""

    spec: JobSpec
    plan: BinaryIO
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Submitter:
    """Submits jobs."""

    inputs_of: Callable[[bool], Inputs]  # is told whether who reads them pays
    objects: ObjectStore
    store: JobStore
    output_of: Callable[[JobSpec], Output]
    clock: Clock
    entropy: Entropy
    scratch: Callable[[], BinaryIO]

    def plan(self, order: Order) -> Planned:
        """Find the inputs and plan the job. Nothing is written yet, but the place that the output's check makes.

        Raises:
            RequestError: there is no input, the output is not empty, a bound is exceeded.
        """
        _check(order)
        file = self.scratch()
        try:
            spec = self._spec(order, file)
            self.output_of(spec).check(deadline_s=spec.deadline_s)
        except BaseException:
            file.close()
            raise
        return Planned(spec, file, order.bundle)

    def _spec(self, order: Order, plan: BinaryIO) -> JobSpec:
        """Find the inputs, write the plan, and return what was asked, resolved."""
        chosen = get_format(order.input_format)
        found = self.inputs_of(order.requester_pays).find(order.inputs)
        input_bytes = sum(one.size_bytes for one in found.objects)
        tasks = plan_splits(
            found.objects,
            split_size_bytes=choose_split_size(input_bytes, workers=order.even_workers, at_most=order.split_bytes_max)
            if order.split_size_bytes is None
            else order.split_size_bytes,
            splittable=splittable_by(chosen),
        )
        summary = encode_plan(tasks, plan.write)
        reducers = order.reducers
        if reducers is None:
            reducers = choose_reducers(
                input_bytes,
                summary.map_tasks,
                reducer_bytes=order.reducer_bytes,
                at_least=order.even_workers,
                at_most=order.reducers_max,
            )
        if reducers:
            check_shape(summary.map_tasks, reducers)
        return JobSpec(
            job_id=self.new_job_id(),
            bundle=BundleRef(sha256=hashlib.sha256(order.bundle).hexdigest(), module=order.module, name=order.name),
            map_tasks=summary.map_tasks,
            reducers=reducers,
            layout=choose_layout(order.layout, summary.map_tasks, reducers),
            input_format=order.input_format,
            input_objects=len(found.objects),
            input_bytes=input_bytes,
            skipped_objects=found.skipped,
            plan_index_offset_bytes=summary.index_offset_bytes,
            memory_bytes=order.memory_bytes,
            attempts=order.attempts,
            task_timeout_s=order.task_timeout_s,
            params=order.params,
            output=order.output,
            keep_intermediate=order.keep_intermediate,
            deadline_s=order.deadline_s,
            requester_pays=order.requester_pays,
            workers=order.workers,
            functions=order.functions,
        )

    def submit(self, planned: Planned) -> JobState:
        """Write the job down; the next `tick` starts it.

        Raises:
            RequestError: another job writes to the output, or has filled it meanwhile.
        """
        with planned.plan:
            self.objects.put(object_names.plan(planned.spec.job_id), planned.plan)
        self.objects.put(object_names.bundle(planned.spec.job_id), planned.bundle)
        return self.create(planned.spec)

    def new_job_id(self) -> str:
        """Draw an id; ids sort by the time at which they were drawn."""
        return f"{datetime.fromtimestamp(self.clock.now(), UTC):%Y%m%d-%H%M%S}-{self.entropy.hex(8)}"

    def create(self, spec: JobSpec, *, prepare: Callable[[JobState], JobState] = lambda job: job) -> JobState:
        """Write a job down whose plan and code are stored, have it prepared, and take its output.

        Raises:
            RequestError: another job writes to the output, or has filled it.
        """
        now = self.clock.now()
        job = JobState(spec=spec, secret=self.entropy.hex(64), created_at=now, phase_started_at=now, progressed_at=now)
        if not self.store.create(job):
            raise RequestError(f"a job {spec.job_id} exists already: try again")
        try:
            job = prepare(job)
            self.take_output(spec)
        except S3mrError as error:
            self.abandon(job, why=str(error))
            raise
        return job

    def abandon(self, job: JobState, *, why: str) -> None:
        """Give up a job that no tick has seen: it has failed, and holds nothing. With a tick, it is left alone."""
        failure = Failure(kind=FailureKind.REQUEST, message=why[: limits.FAILURE_TEXT_MAX])
        end = {"phase": Phase.FAILED, "failure": failure, "released": True, "ended_at": self.clock.now()}
        if self.store.replace(job.model_copy(update={**end, "epoch": job.epoch + 1}), epoch=job.epoch):
            self.store.release_output(job.spec.output, job_id=job.spec.job_id)

    def take_output(self, spec: JobSpec) -> None:
        """Claim the output, and then look whether it is empty: in this order nobody else can fill it in between."""
        claim_output(self.store, spec)
        self.output_of(spec).check(deadline_s=spec.deadline_s)


def check_texts(*texts: str | dict[str, str]) -> None:
    """Refuse what a request cannot carry."""
    try:
        json.dumps(texts, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError("the job file's name, --output and --param must be valid UTF-8") from None


def _check(order: Order) -> None:
    """Refuse numbers that can never work."""
    if order.layout not in get_args(RequestedLayout):
        raise RequestError(f"--layout must be one of {', '.join(get_args(RequestedLayout))}, not {order.layout!r}")
    if wrong := [name for name, value in order.params.items() if not isinstance(value, str)]:
        raise RequestError(f"--param: parameters are strings; {wrong[0]!r} is not")
    if order.memory_bytes < limits.MEMORY_BYTES_MIN:
        raise RequestError(f"--memory must be at least {limits.MEMORY_BYTES_MIN // limits.MIB}MiB")
    if order.split_size_bytes is not None and order.split_size_bytes < 1:
        raise RequestError("--split-size must be at least 1 byte")
    if not 1 <= order.attempts <= limits.ATTEMPTS_MAX:
        raise RequestError(f"--attempts must be from 1 to {limits.ATTEMPTS_MAX}")
    if not 0 < order.task_timeout_s < float("inf"):
        raise RequestError("--task-timeout must be a positive number of seconds")
    if not 0 < order.deadline_s <= limits.DEADLINE_S_MAX:
        raise RequestError(f"--deadline must be a positive number of seconds, at most {limits.DEADLINE_S_MAX:.0f}")
    check_texts(order.params, order.output, order.module)
    if len(json.dumps(order.params)) > limits.PARAMS_BYTES_MAX:
        raise RequestError(f"--param: all parameters together may hold {limits.PARAMS_BYTES_MAX // limits.KIB}KiB")
