"""Run a job on the embedded cloud: submit, then tick until it is over, woken by every report."""

import os
import re
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from s3mr import limits
from s3mr.adapters.os_errors import translated_os
from s3mr.adapters.s3_uri import is_s3
from s3mr.bundle import make_bundle
from s3mr.coordinator.submitting import Order, Planned, Submitter
from s3mr.coordinator.ticking import Ticker
from s3mr.errors import JobFailedError, RequestError, S3mrError, TransientError
from s3mr.loading import Code
from s3mr.local.cloud import EmbeddedCloud
from s3mr.local.pool import WorkerPool
from s3mr.model import keys
from s3mr.model.job import JobState, Phase
from s3mr.model.result import JobResult
from s3mr.model.sizes import parse_size
from s3mr.model.statistics import Counters
from s3mr.policy.planning import RequestedLayout
from s3mr.ports import ObjectStore
from s3mr.processes.chaos import Chaos

TROUBLE_MAX = 8  # ticks in a row that may find a service busy
TROUBLE_PAUSE_S = 0.5
REDUCERS_PER_WORKER = 2
GIVE_UP_TICKS_MAX = 8  # a cancelled job needs four
QUEUED_PER_WORKER = 2  # so that a worker need not wait for a tick between two tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a job is to be run here; sizes in bytes. ``output`` None: a temporary folder, the caller's to remove."""

    output: str | None = None
    reducers: int | None = None
    workers: int | None = None
    split_size: int | str = limits.SPLIT_SIZE_BYTES
    layout: RequestedLayout = "auto"
    input_format: str | None = None
    memory: int | str = limits.MEMORY_BYTES
    attempts: int = limits.ATTEMPTS
    task_timeout_s: float = limits.TASK_TIMEOUT_S
    params: Mapping[str, str] = field(default_factory=dict)
    keep_intermediate: Path | None = None
    chaos: str = ""
    stderr: int | None = None  # a file descriptor for what user code prints; ours where None


class Description(Protocol):
    """What the plan depends on in a `Job`."""

    @property
    def reduce(self) -> object | None: ...
    @property
    def reducers(self) -> int | None: ...
    @property
    def input(self) -> str: ...
    @property
    def params(self) -> Mapping[str, str] | None: ...


Watch = Callable[[JobState, int], object]  # is shown the job and how many attempts run, after every tick
Deliver = Callable[[JobResult], object]  # is given the result while a temporary output still stands


def run_local(
    job: Description,
    code: Code,
    inputs: Sequence[str],
    options: Options,
    *,
    watch: Watch = lambda _job, _running: None,
    deliver: Deliver | None = None,
) -> JobResult:
    """Run a job here and return its result.

    Raises:
        RequestError: refused before anything ran.
        JobFailedError: the job failed; its output does not exist.
    """
    Chaos.parse(options.chaos)
    workers = options.workers if options.workers is not None else os.cpu_count() or 1
    if type(workers) is not int or not 1 <= workers <= limits.LOCAL_WORKERS_MAX:
        raise RequestError(f"--workers must be from 1 to {limits.LOCAL_WORKERS_MAX}, not {workers}")
    with EmbeddedCloud() as cloud:
        output = _absolute(options.output) if options.output is not None else _temporary_output(cloud)
        order = _order(job, code, inputs, options, output=output, workers=workers)
        planned = _plan(cloud.stack.submitter(), order, options)
        record = cloud.stack.recorder().record
        pool = cloud.start_workers(workers, record, chaos=options.chaos, stderr=options.stderr)
        cloud.create_stack()
        job_id = cloud.stack.submitter().submit(planned).spec.job_id
        waiting_s = limits.EVENT_AGE_S + QUEUED_PER_WORKER * options.task_timeout_s
        ticker = cloud.stack.ticker(pool, capacity=workers * QUEUED_PER_WORKER, waiting_s=waiting_s)
        try:
            state = _drive(cloud, ticker, pool, job_id, watch)
        except KeyboardInterrupt:
            pool.close()
            raise KeyboardInterrupt(_give_up(cloud, ticker, job_id)) from None
        if options.keep_intermediate:
            _copy_objects(cloud.stack.objects, job_id, options.keep_intermediate, state)
        if state.phase is not Phase.SUCCEEDED:
            raise JobFailedError(state.failure.story() if state.failure else "the job was cancelled")
        result = _result(state, requests=cloud.stack.meter.counts())
        if deliver:
            deliver(result)
        elif options.output is None:
            cloud.keep(Path(output).parent)
            weakref.finalize(result, shutil.rmtree, Path(output).parent, ignore_errors=True)
        return result


def _plan(submitter: Submitter, order: Order, options: Options) -> Planned:
    """Plan the job; whatever fails here is a refusal: nothing has run."""
    try:
        if options.keep_intermediate:
            with translated_os(f"make the folder {options.keep_intermediate}"):
                options.keep_intermediate.mkdir(parents=True, exist_ok=True)
        return submitter.plan(order)
    except TransientError as error:
        raise RequestError(f"nothing was started: {error}") from error


def _give_up(cloud: EmbeddedCloud, ticker: Ticker, job_id: str) -> str:
    """Cancel the job, give up what it holds, and say what has become of it."""
    try:
        cloud.stack.store.request_cancel(job_id, at=cloud.stack.clock.now())
        job = _until_over(ticker, job_id)
    except S3mrError as error:
        return f"what the job held could not be released: {error}"
    if job.phase is Phase.SUCCEEDED:
        return f"too late: the output had been committed to {job.spec.output}"
    return "nothing was written"


def _until_over(ticker: Ticker, job_id: str) -> JobState:
    for _ in range(GIVE_UP_TICKS_MAX):
        tick = ticker.tick(job_id)
        if tick.over:
            return tick.job
    raise TransientError("the job would not end")


def _drive(cloud: EmbeddedCloud, ticker: Ticker, pool: WorkerPool, job_id: str, watch: Watch) -> JobState:
    """Tick until the job is over."""
    trouble = 0
    while True:
        try:
            tick = ticker.tick(job_id)
            watch(tick.job, pool.running)
            if tick.over:
                return tick.job
            pool.wait_for_report(tick.wait_s)
            trouble = 0
        except S3mrError as error:
            cloud.check()
            trouble += 1
            if trouble > TROUBLE_MAX or not isinstance(error, TransientError):
                raise
            cloud.stack.clock.sleep(TROUBLE_PAUSE_S)


def _order(
    job: Description, code: Code, inputs: Sequence[str], options: Options, *, output: str, workers: int
) -> Order:
    asked = options.reducers if options.reducers is not None else job.reducers
    if asked is not None and (type(asked) is not int or asked < 1):
        raise RequestError(f"--reducers must be a whole number from 1, not {asked!r}")
    if job.reduce is None and options.reducers is not None:
        raise RequestError("--reducers: this job has no reduce; it writes one part a map task")
    reducers = 0 if job.reduce is None else asked or min(REDUCERS_PER_WORKER * workers, limits.REDUCERS_MAX)
    return Order(
        bundle=make_bundle(code.files()),
        module=code.module,
        name=code.name,
        inputs=inputs,
        output=output,
        reducers=reducers,
        input_format=job.input if options.input_format is None else options.input_format,
        split_size_bytes=_size(options.split_size),
        layout=options.layout,
        memory_bytes=_size(options.memory),
        attempts=options.attempts,
        task_timeout_s=options.task_timeout_s,
        params={**(job.params or {}), **options.params},
        keep_intermediate=options.keep_intermediate is not None,
    )


def _size(given: int | str) -> int:
    return parse_size(given) if isinstance(given, str) else given


def _absolute(output: str) -> str:
    if not output or "\0" in output or (not is_s3(output) and re.match(r"[a-z0-9]+:/", output)):
        raise RequestError(f"--output {output!r}: name a folder, or s3://bucket/prefix")
    with translated_os("the current folder"):
        return output if is_s3(output) else str(Path(output).expanduser().absolute())


def _temporary_output(cloud: EmbeddedCloud) -> str:
    return str(cloud.temporary_folder("s3mr-output") / "output")


def _copy_objects(objects: ObjectStore, job_id: str, folder: Path, job: JobState) -> None:
    """Copy a job's plan and intermediates into ``folder``, under their names.

    Raises:
        S3mrError: they cannot be written there; what has become of the job is said with it.
    """
    try:
        for prefix in (keys.plan_prefix(job_id), keys.job_prefix(job_id)):
            for key in objects.list(prefix):
                target = _inside(folder, key)
                with translated_os(f"write {target}"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        file.writelines(objects.stream(key))
    except RequestError as error:
        raise S3mrError(f"the job has {job.phase}, but its intermediates could not all be kept: {error}") from error


def _inside(folder: Path, key: str) -> Path:
    target = folder / key
    if not target.resolve().is_relative_to(folder.resolve()):
        raise RequestError(f"an intermediate object is named {key!r}, which leaves {folder}")
    return target


def _result(job: JobState, *, requests: dict[str, int]) -> JobResult:
    counters = job.counters + Counters(requests=requests)
    return JobResult(
        job_id=job.spec.job_id,
        output=job.spec.output,
        parts=job.spec.tasks(job.spec.last_phase),
        counters=counters,
        input_objects=job.spec.input_objects,
        skipped_objects=job.spec.skipped_objects,
        map_tasks=job.spec.map_tasks,
        reducers=job.spec.reducers,
        attempts=job.attempts,
        retried=job.retried,
        duplicates_ignored=job.ignored,
        elapsed_s=(job.ended_at or job.created_at) - job.created_at,
    )
