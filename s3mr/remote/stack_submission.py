"""Submit a job to a deployed stack: see that it fits there, write it down, start its coordinator."""

from collections.abc import Sequence

from s3mr import limits
from s3mr.adapters.aws.s3_uri import is_s3, parse_s3_uri
from s3mr.adapters.files.os_errors import translated_os
from s3mr.adapters.output_names import normal_output
from s3mr.coordinator.submission import Order
from s3mr.errors import RequestError, TransientError
from s3mr.model.job import JobState
from s3mr.model.sizes import format_size
from s3mr.model.stack import StackDescription
from s3mr.options import Description, Options, Surroundings, order_of, size_bytes
from s3mr.remote.job_home import Deployment
from s3mr.remote.package import pack
from s3mr.usercode.location import Code

WORKER_END_S = 15  # of a worker's time: to stop the child that executes, and to report
WORKER_OWN_BYTES = 256 * limits.MIB  # of a worker's memory: Python twice, s3mr, boto3


def submit(job: Description, code: Code, inputs: Sequence[str], options: Options, to: Deployment) -> JobState:
    """Submit a job; it goes on by itself from here.

    Raises:
        RequestError: refused; nothing was started.
        TransientError: a service is busy; nothing was started.
    """
    output = check_places(to.description, inputs, options.output)
    around = surroundings(to.description, options)
    if options.keep_intermediate:
        with translated_os(f"make the folder {options.keep_intermediate}"):
            options.keep_intermediate.mkdir(parents=True, exist_ok=True)
    bundle = pack(code, to.description, include=options.include, requirements=options.requirements)
    order = order_of(job, code, options, around, bundle=bundle, inputs=inputs, output=output)
    return start_coordinator(_write_down(order, to), to)


def _write_down(order: Order, to: Deployment) -> JobState:
    submitter = to.stack.submitter()
    try:
        return submitter.submit(submitter.plan(order))
    except TransientError as error:
        raise RequestError(f"nothing was started: {error}") from error


def start_coordinator(job: JobState, at: Deployment) -> JobState:
    """Start the coordinator of a job that was just written down; should that fail, the job has failed."""
    try:
        at.machine.start(job.spec.job_id, tick=at.description.tick)
    except BaseException as error:
        at.stack.submitter().abandon(job, why=f"its coordinator could not be started: {error}")
        raise
    return job


def check_places(stack: StackDescription, inputs: Sequence[str], output: str | None) -> str:
    """Return the output by its one name, after seeing that workers of ``stack`` may read all inputs and write there.

    Raises:
        RequestError: they may not; the text says what to add to the stack's parameters.
    """
    for given in inputs:
        _check_place(stack, given, stack.input_buckets, folder="input/", what="input", parameter="InputBuckets")
    if output is None:
        raise RequestError("--output is needed with --stack: name s3://bucket/prefix")
    _check_place(stack, output, stack.output_buckets, folder="output/", what="--output", parameter="OutputBuckets")
    return normal_output(output)


def _check_place(
    stack: StackDescription, given: str, declared: frozenset[str], *, folder: str, what: str, parameter: str
) -> None:
    own = f"s3://{stack.bucket}/{folder}"
    if not is_s3(given):
        raise RequestError(f"{what} {given}: workers on AWS reach S3 alone; copy it to {own} or to a bucket declared")
    uri = parse_s3_uri(given)
    if uri.bucket == stack.bucket:
        if not f"{uri.key}/".startswith(folder):
            raise RequestError(f"{what} {given}: in the stack's own bucket, use what is below {own}")
    elif uri.bucket not in declared:
        names = ",".join(sorted({*declared, uri.bucket}))
        raise RequestError(
            f"{what} {given}: workers of stack {stack.name} may not touch bucket {uri.bucket}; deploy it with "
            f"{parameter}={names} (sam deploy --parameter-overrides), or use {own}"
        )


def surroundings(stack: StackDescription, options: Options) -> Surroundings:
    """Return what the stack decides of a job.

    Raises:
        RequestError: more is asked for than its workers have.
    """
    return Surroundings(
        memory_bytes=_memory_bytes(stack, options),
        task_timeout_s=_task_timeout_s(stack, options),
        workers=_workers(stack, options),
        functions=stack.functions,
    )


def _memory_bytes(stack: StackDescription, options: Options) -> int:
    """Half of what is left of a worker's memory may go into sorting: user code, and values being decoded, need some."""
    most = (stack.memory_mb * limits.MIB - WORKER_OWN_BYTES) // 2
    asked = most if options.memory is None else size_bytes(options.memory)
    if asked > most or most < limits.MEMORY_BYTES_MIN:
        raise RequestError(
            f"--memory: workers of stack {stack.name} have {stack.memory_mb} MB, of which at most "
            f"{format_size(max(most, 0))} are for sorting: ask for less, or deploy it with a larger WorkerMemory"
        )
    return asked


def _task_timeout_s(stack: StackDescription, options: Options) -> float:
    most = stack.timeout_s - WORKER_END_S
    if options.task_timeout_s is not None and options.task_timeout_s > most:
        raise RequestError(
            f"--task-timeout {options.task_timeout_s:g}: at most {most} on stack {stack.name}, whose workers have "
            f"{stack.timeout_s} s: make tasks smaller (--split-size, --reducers), or deploy a larger WorkerTimeout"
        )
    return most if options.task_timeout_s is None else options.task_timeout_s


def _workers(stack: StackDescription, options: Options) -> int | None:
    asked = options.workers
    if asked is not None and not (type(asked) is int and 1 <= asked <= stack.workers_max):
        raise RequestError(f"--workers must be from 1 to {stack.workers_max} on stack {stack.name}, not {asked}")
    return asked
