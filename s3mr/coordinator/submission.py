"""Submit a job: check the request, plan it, and write its spec to the table. A bad request is refused before that."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

from s3mr import limits
from s3mr.coordinator.claim import claim_output
from s3mr.errors import RequestError, S3mrError
from s3mr.formats.registry import get_format
from s3mr.formats.task_reader import splittable_by
from s3mr.model import object_names
from s3mr.model.job import BundleRef, Failure, FailureKind, JobSpec, JobState, Phase, WorkerFunctions
from s3mr.model.plan_codec import encode_plan
from s3mr.options import JobRequest, RunOptions, check_requirements, seconds, size_bytes
from s3mr.policy.planning import check_shape, choose_layout, choose_reducers, choose_split_size, plan_splits
from s3mr.ports import Clock, Entropy, Inputs, JobStore, ObjectStore, Output
from s3mr.reducers import Reducer
from s3mr.usercode.location import Code
from s3mr.usercode.parameters import combined


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceFacts:
    """The settings that depend on where a job runs."""

    memory_bytes: int
    task_timeout_s: float
    workers: int | None = None  # maximum of attempts at once; None: as many as the place can run
    even_workers: int = 1  # divide the tasks evenly among this many workers
    combined_split_bytes: int = limits.SPLIT_SIZE_BYTES  # default maximum if the job combines
    reducer_bytes: int = limits.REDUCER_BYTES  # default: one reducer for this much input …
    reducers_max: int = limits.REDUCERS_CHOSEN_MAX  # … but at most this many
    functions: WorkerFunctions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job to submit: the request, with the job's own defaults filled in, its code, and where it will run."""

    request: JobRequest
    place: PlaceFacts
    bundle: bytes
    module: str
    name: str
    inputs: Sequence[str]
    output: str
    keep_intermediate: bool = False
    reduces: bool = True
    combines: bool = False

    @property
    def split_bytes_max(self) -> int:
        """The default maximum that a map task reads. On this machine, it is larger with a combiner."""
        return self.place.combined_split_bytes if self.combines else limits.SPLIT_SIZE_BYTES


class JobDescription(Protocol):
    """The attributes of a `Job` that a submission uses."""

    @property
    def reduce(self) -> object | None: ...
    @property
    def combine(self) -> object | None: ...
    @property
    def reducers(self) -> int | None: ...
    @property
    def input(self) -> str: ...
    @property
    def params(self) -> Mapping[str, str | None] | None: ...


def submission_of(
    job: JobDescription,
    code: Code,
    options: RunOptions,
    place: PlaceFacts,
    *,
    bundle: bytes,
    inputs: Sequence[str],
    output: str,
) -> Submission:
    """Return the submission of ``job`` with ``options``. Options that are not set are taken from the job.

    Raises:
        RequestError: the options do not fit the job.
    """
    if options.requirements is not None:
        check_requirements(options.requirements)
    asked = options.request
    if job.reduce is None and asked.reducers is not None:
        raise RequestError("--reducers: this job has no reduce, so it writes one part per map task; omit the option")
    return Submission(
        request=replace(
            asked,
            reducers=job.reducers if asked.reducers is None else asked.reducers,
            input_format=job.input if asked.input_format is None else asked.input_format,
            params=combined(job.params, asked.params),
        ),
        place=place,
        bundle=bundle,
        module=code.module,
        name=code.name,
        inputs=inputs,
        output=output,
        keep_intermediate=options.keep_intermediate is not None or options.leave_intermediate,
        reduces=job.reduce is not None,
        combines=job.combine is not None or isinstance(job.reduce, Reducer),
    )


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned job that can be submitted: its spec, its plan in a temporary file, its code."""

    spec: JobSpec
    plan: BinaryIO
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Submitter:
    """Submits jobs."""

    inputs_of: Callable[[bool], Inputs]  # the argument is ``requester_pays``
    objects: ObjectStore
    store: JobStore
    output_of: Callable[[JobSpec], Output]
    clock: Clock
    entropy: Entropy
    scratch: Callable[[], BinaryIO]

    def plan(self, submission: Submission) -> Planned:
        """Find the inputs and plan the job. It writes nothing, except that checking the output may create its folder.

        Raises:
            RequestError: there is no input, the output is not empty, or a limit is exceeded.
        """
        _check_params(submission)
        file = self.scratch()
        try:
            spec = self._spec(submission, file)
            self.output_of(spec).check(deadline_s=spec.deadline_s)
        except BaseException:
            file.close()
            raise
        return Planned(spec, file, submission.bundle)

    def _spec(self, submission: Submission, plan: BinaryIO) -> JobSpec:
        """Find the inputs, write the plan, and return the job's spec."""
        request, place = submission.request, submission.place
        input_format = request.input_format or "text"
        chosen = get_format(input_format)
        found = self.inputs_of(request.requester_pays).find(submission.inputs)
        input_bytes = sum(one.size_bytes for one in found.objects)
        tasks = plan_splits(
            found.objects, split_size_bytes=_split_size(submission, input_bytes), splittable=splittable_by(chosen)
        )
        summary = encode_plan(tasks, plan.write)
        reducers = _reducers(submission, input_bytes, summary.map_tasks)
        return JobSpec(
            job_id=self.new_job_id(),
            request=request,
            bundle=BundleRef(
                sha256=hashlib.sha256(submission.bundle).hexdigest(), module=submission.module, name=submission.name
            ),
            map_tasks=summary.map_tasks,
            reducers=reducers,
            layout=choose_layout(request.layout, summary.map_tasks, reducers),
            input_format=input_format,
            input_objects=len(found.objects),
            input_bytes=input_bytes,
            skipped_objects=found.skipped,
            plan_index_offset_bytes=summary.index_offset_bytes,
            memory_bytes=place.memory_bytes,
            task_timeout_s=place.task_timeout_s,
            output=submission.output,
            keep_intermediate=submission.keep_intermediate,
            deadline_s=seconds(request.deadline),
            workers=place.workers,
            functions=place.functions,
        )

    def submit(self, planned: Planned) -> JobState:
        """Create the job. The next `tick` starts it.

        Raises:
            RequestError: another job writes to the output, or has filled it meanwhile.
        """
        with planned.plan:
            self.objects.put(object_names.plan(planned.spec.job_id), planned.plan)
        self.objects.put(object_names.bundle(planned.spec.job_id), planned.bundle)
        return self.create(planned.spec)

    def new_job_id(self) -> str:
        """Return a new id. Ids sort by the time at which they were made."""
        return f"{datetime.fromtimestamp(self.clock.now(), UTC):%Y%m%d-%H%M%S}-{self.entropy.hex(8)}"

    def create(self, spec: JobSpec, *, prepare: Callable[[JobState], JobState] = lambda job: job) -> JobState:
        """Create a job whose plan and code are stored, call ``prepare``, and claim its output.

        Raises:
            RequestError: another job writes to the output, or has filled it.
        """
        now = self.clock.now()
        job = JobState(spec=spec, secret=self.entropy.hex(64), created_at=now, phase_started_at=now, progressed_at=now)
        if not self.store.create(job):
            raise RequestError(f"job {spec.job_id} already exists: submit again to get another id")
        try:
            job = prepare(job)
            self.take_output(spec)
        except S3mrError as error:
            self.abandon(job, why=str(error))
            raise
        return job

    def abandon(self, job: JobState, *, why: str) -> None:
        """Mark a job as failed and released, unless a tick has already seen it."""
        failure = Failure(kind=FailureKind.REQUEST, message=why[: limits.FAILURE_TEXT_MAX])
        end = {"phase": Phase.FAILED, "failure": failure, "released": True, "ended_at": self.clock.now()}
        if self.store.replace(job.model_copy(update={**end, "epoch": job.epoch + 1}), epoch=job.epoch):
            self.store.release_output(job.spec.output, job_id=job.spec.job_id)

    def take_output(self, spec: JobSpec) -> None:
        """Claim the output, then check that it is empty. In this order no other job can fill it in between."""
        claim_output(self.store, spec)
        self.output_of(spec).check(deadline_s=spec.deadline_s)


def check_texts(*texts: str | dict[str, str]) -> None:
    """Refuse texts that cannot be encoded, because a request travels as JSON.

    Raises:
        RequestError: a text is not valid UTF-8.
    """
    try:
        json.dumps(texts, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError("the job file's name, --output and --param must be valid UTF-8") from None


def _split_size(submission: Submission, input_bytes: int) -> int:
    asked = submission.request.split_size
    if asked is not None:
        return size_bytes(asked)
    return choose_split_size(input_bytes, workers=submission.place.even_workers, at_most=submission.split_bytes_max)


def _reducers(submission: Submission, input_bytes: int, map_tasks: int) -> int:
    """Return the number of reduce tasks; 0 if the job has no reduce."""
    if not submission.reduces:
        return 0
    place, reducers = submission.place, submission.request.reducers
    if reducers is None:
        reducers = choose_reducers(
            input_bytes,
            map_tasks,
            reducer_bytes=place.reducer_bytes,
            at_least=place.even_workers,
            at_most=place.reducers_max,
        )
    check_shape(map_tasks, reducers)
    return reducers


def _check_params(submission: Submission) -> None:
    params = dict(submission.request.params)
    check_texts(params, submission.output, submission.module)
    if len(json.dumps(params)) > limits.PARAMS_BYTES_MAX:
        raise RequestError(
            f"--param: all parameters together must not exceed {limits.PARAMS_BYTES_MAX // limits.KIB}KiB"
        )
