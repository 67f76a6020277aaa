"""Run a job with workers here, or resume one: on the embedded cloud, or at an endpoint whose services live on."""

import os
import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from s3mr import limits
from s3mr.adapters.exhaustion import check_descriptors
from s3mr.adapters.files.os_errors import translated_os
from s3mr.adapters.output_names import normal_output
from s3mr.coordinator.adoption import Resumer
from s3mr.coordinator.submission import Order, Planned
from s3mr.coordinator.sweep import sweep_leftovers
from s3mr.errors import MissingError, RequestError, TransientError
from s3mr.local.cloud import Cloud, open_cloud, temporary_folder_of
from s3mr.local.driver import Run, Watch
from s3mr.local.endpoint_service import end
from s3mr.local.intermediates_copy import copy_objects
from s3mr.local.reaper import Reaper
from s3mr.local.worker_pool import WorkerPool
from s3mr.model.job import JobSpec, JobState, Phase
from s3mr.model.result import JobResult
from s3mr.options import Description, Options, Surroundings, order_of, size_bytes
from s3mr.processes.chaos import Chaos
from s3mr.usercode.bundle import make_bundle
from s3mr.usercode.location import Code
from s3mr.wiring import Stack

REDUCERS_PER_WORKER = 2

Deliver = Callable[[JobResult], object]  # is given the result while an output that is to be printed still stands


def run_local(
    job: Description,
    code: Code,
    inputs: Sequence[str],
    options: Options,
    *,
    watch: Watch = lambda _job, _running: None,
    deliver: Deliver | None = None,
    care: Reaper | None = None,
) -> JobResult:
    """Run a job here and return its result. ``care``: of `start_reaper`, if it was begun.

    Raises:
        RequestError: refused before anything ran.
        JobFailedError: the job failed; its output does not exist.
    """
    workers = _workers(options)
    with open_cloud(options.endpoint_url, care) as cloud:
        output = cloud.temporary_output() if options.output is None else normal_output(options.output)
        pool = _pool(cloud, options, workers=workers)  # it is starting while the job is planned
        around = _surroundings(options, workers=workers)
        bundle = make_bundle(code.files(include=options.include))
        order = order_of(job, code, options, around, bundle=bundle, inputs=inputs, output=output)
        planned = _plan(cloud, order, options)
        run = _run(cloud, pool, planned.spec, watch)
        with _refusing():
            cloud.create_stack()
        state = run.to_its_end(lambda: cloud.stack.submitter().submit(planned), again=False)
        if options.keep_intermediate:
            copy_objects(cloud.stack.objects, run.job_id, options.keep_intermediate, became=state.phase)
        return _result(run, state, deliver)


def resume_local(
    job_id: str,
    options: Options,
    *,
    watch: Watch = lambda _job, _running: None,
    deliver: Deliver | None = None,
    care: Reaper | None = None,
) -> JobResult:
    """Bring on, with workers here, a job at ``options.endpoint_url`` that a death, a failure or a cancel has stopped.

    One that has not ended goes on as it is; in the place of an ended one comes a new job, of whose options only the
    ``output`` may be named anew. ``care``: of `start_reaper`, if it was begun.

    Raises:
        RequestError: there is no such job, it has succeeded, or something that it needs is not what it was.
        JobFailedError: the job failed.
    """
    workers = _workers(options)
    if options.endpoint_url is None:
        raise RequestError("--endpoint-url is missing: an embedded cloud's jobs end with their command")
    with open_cloud(options.endpoint_url, care) as cloud:
        resumer = cloud.stack.resumer()
        with _refusing():
            old = _settled(cloud.stack, job_id)
            if old.released and old.phase is Phase.SUCCEEDED:  # its last command may have died before this
                stack = cloud.stack
                sweep_leftovers(old, stack.objects, stack.output_of(old.spec))
            spec = _plan_again(cloud, resumer, old, options) if old.released else _take_up(resumer, old, options)
        if not old.released:
            cloud.job_stands()  # from its beginning: what is staged is the job's
        run = _run(cloud, _pool(cloud, options, workers=workers), spec, watch)
        begin = (lambda: resumer.submit(spec)) if old.released else (lambda: resumer.take_up(job_id))
        return _result(run, run.to_its_end(begin, again=not old.released), deliver)


def _settled(stack: Stack, job_id: str) -> JobState:
    """Return the job; one that is ending is brought to its end first."""
    try:
        seen = stack.store.observe(job_id)
    except MissingError:
        seen = None
    if seen is None:
        raise RequestError(
            f"there is no job {job_id} in this table: check --endpoint-url and S3MR_TABLE; if the services have lost "
            f"the job, run it again, and remove the folder .OUTPUT.s3mr-{job_id} beside its output if there is one"
        )
    going_on = seen.job.phase in (Phase.COMMITTING, Phase.SUCCEEDED) or (
        seen.job.phase.working and not seen.cancel_requested
    )
    return seen.job if going_on or seen.job.released else end(stack, job_id)


def _plan_again(cloud: Cloud, resumer: Resumer, old: JobState, options: Options) -> JobSpec:
    printed = old.spec.printed and options.output is None
    output = None if options.output is None else normal_output(options.output)
    return resumer.plan(old.spec.job_id, output=cloud.temporary_output() if printed else output, printed=printed)


def _take_up(resumer: Resumer, job: JobState, options: Options) -> JobSpec:
    if options.output is not None:
        raise RequestError(f"--output: job {job.spec.job_id} has not ended; it goes on writing to {job.spec.output}")
    if job.phase is Phase.MAP:  # from another folder, a relative name is another file: that must not fail the job
        resumer.check_inputs(job.spec)
    return job.spec


def _pool(cloud: Cloud, options: Options, *, workers: int) -> WorkerPool:
    """Start the workers."""
    record = cloud.stack.recorder().record
    return cloud.start_workers(workers, record, chaos=options.chaos, stderr=options.stderr)


def _run(cloud: Cloud, pool: WorkerPool, spec: JobSpec, watch: Watch) -> Run:
    """Return a job as it will run on ``pool``."""
    pool.expect(spec.map_tasks)
    ticker = cloud.stack.ticker(pool, capacity=pool.pace.capacity)
    return Run(cloud, pool, ticker, spec.job_id, watch, spec.task_timeout_s)


def _result(run: Run, job: JobState, deliver: Deliver | None) -> JobResult:
    if job.phase is not Phase.SUCCEEDED:
        raise run.failure(job)
    result = JobResult.of(job, requests=run.cloud.stack.meter.counts())
    if folder := temporary_folder_of(job.spec):
        if deliver:
            deliver(result)
        else:
            run.cloud.care.keep(folder)
            weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
    return result


def _plan(cloud: Cloud, order: Order, options: Options) -> Planned:
    """Plan the job; whatever fails here is a refusal: nothing has run.

    Intermediates go with a cloud that does not last: nobody need list and delete them.
    """
    with _refusing():
        if options.keep_intermediate:
            with translated_os(f"make the folder {options.keep_intermediate}"):
                options.keep_intermediate.mkdir(parents=True, exist_ok=True)
        planned = cloud.stack.submitter().plan(order)
    local = {"printed": options.output is None, "keep_intermediate": order.keep_intermediate or not cloud.lasting}
    return replace(planned, spec=planned.spec.model_copy(update=local))


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        raise RequestError(f"nothing was started: {error}") from error


def _workers(options: Options) -> int:
    Chaos.parse(options.chaos)
    workers = options.workers if options.workers is not None else os.cpu_count() or 1
    if type(workers) is not int or not 1 <= workers <= limits.LOCAL_WORKERS_MAX:
        raise RequestError(f"--workers must be from 1 to {limits.LOCAL_WORKERS_MAX}, not {workers}")
    check_descriptors(workers)
    return workers


def _surroundings(options: Options, *, workers: int) -> Surroundings:
    return Surroundings(
        even_workers=workers,
        combined_split_bytes=limits.LOCAL_COMBINED_SPLIT_BYTES,
        reducer_bytes=limits.LOCAL_REDUCER_BYTES,
        reducers_max=REDUCERS_PER_WORKER * workers,
        memory_bytes=size_bytes(limits.MEMORY_BYTES if options.memory is None else options.memory),
        task_timeout_s=limits.TASK_TIMEOUT_S if options.task_timeout_s is None else options.task_timeout_s,
    )
