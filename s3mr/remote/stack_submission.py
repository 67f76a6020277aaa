"""Submit a job to a deployed stack: check that it fits, record it, start its coordinator."""

import os
from collections.abc import Sequence
from pathlib import Path

from s3mr import limits
from s3mr.adapters.aws.s3_uri import is_s3, parse_s3_uri
from s3mr.adapters.files.os_errors import make_folder
from s3mr.adapters.output_names import normal_output
from s3mr.coordinator.submission import JobDescription, PlaceFacts, submission_of
from s3mr.errors import RequestError, TransientError
from s3mr.model.job import JobState
from s3mr.model.stack import StackDescription
from s3mr.options import JobRequest, RunOptions, size_bytes
from s3mr.quantities import format_size
from s3mr.remote.job_home import Deployment
from s3mr.remote.package import pack
from s3mr.usercode.location import Code

WORKER_END_S = 15  # part of a worker's time: to stop the child that executes, and to report
WORKER_OWN_BYTES = 256 * limits.MIB  # part of a worker's memory: Python twice, s3mr, boto3


def submit(job: JobDescription, code: Code, inputs: Sequence[str], options: RunOptions, to: Deployment) -> JobState:
    """Submit a job. It then runs without this command.

    Raises:
        RequestError: refused; nothing was started.
        TransientError: a service is busy; nothing was started.
    """
    output = check_places(to.description, inputs, None if options.output is None else os.fspath(options.output))
    place = place_facts(to.description, options)
    if options.keep_intermediate is not None:
        make_folder(options.keep_intermediate)
    bundle = pack(
        code,
        to.description,
        include=[Path(one) for one in options.include],
        requirements=None if options.requirements is None else Path(options.requirements),
    )
    submission = submission_of(job, code, options, place, bundle=bundle, inputs=inputs, output=output)
    submitter = to.stack.submitter()
    try:
        job_state = submitter.submit(submitter.plan(submission))
    except TransientError as error:
        raise RequestError(f"nothing was started: {error}") from error
    return start_coordinator(job_state, to)


def start_coordinator(job: JobState, at: Deployment) -> JobState:
    """Start the coordinator of a job that was just recorded. If that fails, mark the job as failed."""
    try:
        at.machine.start(job.spec.job_id, tick=at.description.tick)
    except BaseException as error:
        at.stack.submitter().abandon(job, why=f"cannot start its coordinator: {error}")
        raise
    return job


def check_places(stack: StackDescription, inputs: Sequence[str], output: str | None) -> str:
    """Check that workers of ``stack`` may read all inputs and write the output, and return the output's normal name.

    Raises:
        RequestError: they may not; the text says what to add to the stack's parameters.
    """
    for given in inputs:
        _check_place(stack, given, stack.input_buckets, folder="input/", what="input", parameter="InputBuckets")
    if output is None:
        raise RequestError("--stack needs --output: name s3://bucket/prefix")
    _check_place(stack, output, stack.output_buckets, folder="output/", what="--output", parameter="OutputBuckets")
    return normal_output(output)


def _check_place(
    stack: StackDescription, given: str, declared: frozenset[str], *, folder: str, what: str, parameter: str
) -> None:
    own = f"s3://{stack.bucket}/{folder}"
    if not is_s3(given):
        raise RequestError(
            f"{what} {given}: workers on AWS can only use S3; copy it to {own} or to a declared bucket"
            if what == "input"
            else f"{what} {given}: workers on AWS can only use S3; name a prefix below {own} or in a declared bucket"
        )
    uri = parse_s3_uri(given)
    if uri.bucket == stack.bucket:
        if not f"{uri.key}/".startswith(folder):
            raise RequestError(f"{what} {given}: in the stack's own bucket, use a place below {own}")
    elif uri.bucket not in declared:
        names = ",".join(sorted({*declared, uri.bucket}))
        raise RequestError(
            f"{what} {given}: workers of stack {stack.name} have no access to bucket {uri.bucket}; deploy it with "
            f"{parameter}={names} (sam deploy --parameter-overrides), or use {own}"
        )


def place_facts(stack: StackDescription, request: JobRequest) -> PlaceFacts:
    """Return the job settings that depend on the stack.

    Raises:
        RequestError: the job requests more than the stack's workers have.
    """
    return PlaceFacts(
        memory_bytes=_memory_bytes(stack, request),
        task_timeout_s=_task_timeout_s(stack, request),
        workers=_workers(stack, request),
        functions=stack.functions,
    )


def _memory_bytes(stack: StackDescription, request: JobRequest) -> int:
    """Return half of a worker's free memory, at most, for sorting: user code and decoded values need the rest."""
    most = (stack.memory_mb * limits.MIB - WORKER_OWN_BYTES) // 2
    requested = most if request.memory is None else size_bytes(request.memory)
    if requested > most or most < limits.MEMORY_BYTES_MIN:
        raise RequestError(
            f"--memory: workers of stack {stack.name} have {stack.memory_mb} MB, of which at most "
            f"{format_size(max(most, 0))} are for sorting: request less, or deploy it with a larger WorkerMemory"
        )
    return requested


def _task_timeout_s(stack: StackDescription, request: JobRequest) -> float:
    most = stack.timeout_s - WORKER_END_S
    if request.task_timeout_s is not None and request.task_timeout_s > most:
        raise RequestError(
            f"--task-timeout {request.task_timeout_s:g}: at most {most} on stack {stack.name}, whose workers have "
            f"{stack.timeout_s} s: make tasks smaller (--split-size, --reducers), or deploy a larger WorkerTimeout"
        )
    return most if request.task_timeout_s is None else request.task_timeout_s


def _workers(stack: StackDescription, request: JobRequest) -> int | None:
    requested = request.workers
    if requested is not None and requested > stack.workers_max:
        raise RequestError(
            f"--workers must be a whole number from 1 to {stack.workers_max} on stack {stack.name}, not {requested}"
        )
    return requested
