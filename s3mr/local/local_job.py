"""Run or resume a job with workers on this machine, on the embedded cloud or at an endpoint."""

import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from s3mr import limits
from s3mr.adapters.exhaustion import check_descriptors
from s3mr.adapters.files.intermediates_copy import copy_objects
from s3mr.adapters.files.os_errors import make_folder
from s3mr.adapters.files.temporary_output import temporary_folder_of
from s3mr.adapters.output_names import normal_output
from s3mr.coordinator.submission import JobDescription, PlaceFacts, Planned, Submission, submission_of
from s3mr.coordinator.sweep import sweep_leftovers
from s3mr.endpoint import end_job
from s3mr.errors import MissingError, RequestError, TransientError
from s3mr.local.cloud import Cloud, open_cloud
from s3mr.local.driver import JobView, NoView, Run
from s3mr.local.reaper import Reaper
from s3mr.local.worker_pool import WorkerPool
from s3mr.model.job import JobSpec, JobState, Phase
from s3mr.model.result import JobResult
from s3mr.options import RunOptions, size_bytes
from s3mr.processes.chaos import Chaos
from s3mr.usercode.bundle import make_bundle
from s3mr.usercode.location import Code
from s3mr.wiring import Stack

NO_VIEW = NoView()


def run_local(
    job: JobDescription,
    code: Code,
    inputs: Sequence[str],
    options: RunOptions,
    *,
    view: JobView = NO_VIEW,
    reaper: Reaper | None = None,
) -> JobResult:
    """Run a job here and return its result. ``reaper`` is a reaper that runs already.

    Raises:
        RequestError: refused before anything ran.
        JobFailedError: the job failed; its output does not exist.
    """
    workers = _workers(options)
    with open_cloud(options.endpoint_url, reaper) as cloud:
        output = cloud.temporary_output() if options.output is None else normal_output(os.fspath(options.output))
        pool = _pool(cloud, options, view, workers=workers)  # workers start while the job is planned
        submission = submission_of(
            job,
            code,
            options,
            _place_facts(options, workers=workers),
            bundle=make_bundle(code.files(include=[Path(one) for one in options.include])),
            inputs=inputs,
            output=output,
        )
        planned = _plan(cloud, submission, options)
        run = _run(cloud, pool, planned.spec, view)
        with _refusing():
            cloud.create_stack()
        state = run.to_its_end(lambda: cloud.stack.submitter().submit(planned), again=False)
        if options.keep_intermediate is not None:
            copy_objects(cloud.stack.objects, run.job_id, Path(options.keep_intermediate), became=state.phase)
        return _result(run, state)


def resume_local(
    job_id: str,
    options: RunOptions,
    *,
    view: JobView = NO_VIEW,
    reaper: Reaper | None = None,
) -> JobResult:
    """Run the rest of a job at ``options.endpoint_url`` with workers here, after a death, a failure or a cancel.

    A job that has not ended continues as it is. A new job replaces one that has ended; of its options, only ``output``
    may differ. ``reaper`` is a reaper that runs already.

    Raises:
        RequestError: the job does not exist or has succeeded, or something that it needs has changed.
        JobFailedError: the job failed.
    """
    workers = _workers(options)
    if options.endpoint_url is None:
        raise RequestError("--endpoint-url is missing: the jobs of an embedded cloud end with their command")
    with open_cloud(options.endpoint_url, reaper) as cloud:
        with _refusing():
            job = _settled(cloud.stack, job_id)
            spec = _replacement(cloud, job, options) if job.released else _unfinished(cloud, job, options)
        pool = _pool(cloud, options, view, workers=workers)
        run = _run(cloud, pool, spec, view)
        resumer = cloud.stack.resumer()
        if job.released:
            return _result(run, run.to_its_end(lambda: resumer.submit(spec), again=False))
        return _result(run, run.to_its_end(lambda: resumer.take_up(job_id), again=True))


def _settled(stack: Stack, job_id: str) -> JobState:
    """Return the job. If it is ending, drive it to its end first."""
    try:
        seen = stack.store.observe(job_id)
    except MissingError:
        seen = None
    if seen is None:
        raise RequestError(
            f"there is no job {job_id} in this table: check --endpoint-url and S3MR_TABLE; if the services have lost "
            f"the job, run it again, and remove the folder .OUTPUT.s3mr-{job_id} beside its output if there is one"
        )
    continues = seen.job.phase in (Phase.COMMITTING, Phase.SUCCEEDED) or (
        seen.job.phase.working and not seen.cancel_requested
    )
    return seen.job if continues or seen.job.released else end_job(stack, job_id)


def _replacement(cloud: Cloud, old: JobState, options: RunOptions) -> JobSpec:
    """Return the spec of a new job that replaces ``old``, which has ended."""
    if old.phase is Phase.SUCCEEDED:  # its last command may have died before it swept
        sweep_leftovers(old, cloud.stack.objects, cloud.stack.output_of(old.spec))
    printed = old.spec.printed and options.output is None
    output = None if options.output is None else normal_output(os.fspath(options.output))
    return cloud.stack.resumer().plan(
        old.spec.job_id, output=cloud.temporary_output() if printed else output, printed=printed
    )


def _unfinished(cloud: Cloud, job: JobState, options: RunOptions) -> JobSpec:
    """Return the spec of a job that has not ended, after checking that it can continue from here."""
    if options.output is not None:
        raise RequestError(f"--output: job {job.spec.job_id} has not ended; it still writes to {job.spec.output}")
    if job.phase is Phase.MAP:  # from another folder, a relative path names another file: refuse, do not fail the job
        cloud.stack.resumer().check_inputs(job.spec)
    cloud.job_is_recorded()  # the table has the job already, so keep what it stages
    return job.spec


def _pool(cloud: Cloud, options: RunOptions, view: JobView, *, workers: int) -> WorkerPool:
    """Start the workers."""
    record = cloud.stack.recorder().record
    return cloud.start_workers(workers, record, chaos=options.chaos, stderr=view.stderr)


def _run(cloud: Cloud, pool: WorkerPool, spec: JobSpec, view: JobView) -> Run:
    """Return the job of ``spec``, ready to run on ``pool``."""
    pool.expect(spec.map_tasks)
    ticker = cloud.stack.ticker(pool, capacity=pool.pace.capacity)
    return Run(cloud, pool, ticker, spec.job_id, view, spec.task_timeout_s)


def _result(run: Run, job: JobState) -> JobResult:
    if job.phase is not Phase.SUCCEEDED:
        raise run.failure(job)
    result = JobResult.of(job, requests=run.cloud.stack.meter.counts())
    folder = temporary_folder_of(job.spec)
    if folder and not run.view.take_output(result):
        run.cloud.reaper.keep(folder)
        weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
    return result


def _plan(cloud: Cloud, submission: Submission, options: RunOptions) -> Planned:
    """Plan the job. An error here is a refusal, because nothing has run yet.

    An embedded cloud's intermediates end with it, so the job need not list and delete them.
    """
    with _refusing():
        if options.keep_intermediate is not None:
            make_folder(options.keep_intermediate)
        planned = cloud.stack.submitter().plan(submission)
    local = {"printed": options.output is None, "keep_intermediate": submission.keep_intermediate or not cloud.lasting}
    return replace(planned, spec=planned.spec.model_copy(update=local))


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        raise RequestError(f"nothing was started: {error}") from error


def _workers(options: RunOptions) -> int:
    Chaos.parse(options.chaos)
    workers = options.workers if options.workers is not None else os.cpu_count() or 1
    if workers > limits.LOCAL_WORKERS_MAX:
        raise RequestError(f"--workers must be a whole number from 1 to {limits.LOCAL_WORKERS_MAX}, not {workers}")
    check_descriptors(workers)
    return workers


def _place_facts(options: RunOptions, *, workers: int) -> PlaceFacts:
    return PlaceFacts(
        even_workers=workers,
        combined_split_bytes=limits.LOCAL_COMBINED_SPLIT_BYTES,
        reducer_bytes=limits.LOCAL_REDUCER_BYTES,
        reducers_max=limits.LOCAL_REDUCERS_PER_WORKER * workers,
        memory_bytes=size_bytes(limits.MEMORY_BYTES if options.memory is None else options.memory),
        task_timeout_s=limits.TASK_TIMEOUT_S if options.task_timeout_s is None else options.task_timeout_s,
    )
