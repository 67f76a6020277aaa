"""Run one execution of an attempt, from its request to its report.

Only errors that a report can describe are caught. Any other error ends the worker, and its parent reports the death.
"""

import errno
from typing import Final

from s3mr import limits
from s3mr.errors import InvariantError, RequestError, S3mrError, TransientError, UserCodeError
from s3mr.model.job import Failure, FailureKind, Phase
from s3mr.model.manifest import Manifest
from s3mr.model.report import Report, TaskRequest
from s3mr.worker.map_execution import run_map
from s3mr.worker.reduce_execution import run_reduce
from s3mr.worker.task_context import TaskContext
from s3mr.worker.user_functions import Functions, UserCode

_KINDS: Final[dict[type[Exception], FailureKind]] = {
    UserCodeError: FailureKind.USER,
    RequestError: FailureKind.REQUEST,
    TransientError: FailureKind.TRANSIENT,
    InvariantError: FailureKind.INVARIANT,
}
_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_WORKER_DIGITS: Final = 16


def execute(request: TaskRequest, functions: Functions, context: TaskContext) -> Report:
    """Run the attempt of ``request`` with the job's ``functions``, and return its report.

    Each execution draws its own worker id, so two executions of one attempt never write the same object.
    """
    worker = context.entropy.hex(_WORKER_DIGITS)
    started_at = context.clock.now()
    if started_at > request.start_by:
        return _too_late(request, worker=worker, late_s=started_at - request.start_by)
    run = run_map if request.phase is Phase.MAP else run_reduce
    try:
        output = run(request, worker=worker, user_code=UserCode(functions), context=context)
    except (S3mrError, OSError, MemoryError) as error:
        return failure_report(request, worker=worker, error=error)
    duration_s = max(context.clock.now() - started_at, 0.0)
    manifest = Manifest(
        phase=request.phase,
        task=request.task,
        attempt=request.attempt,
        worker=worker,
        duration_s=duration_s,
        counters=output.counters.model_copy(update={"busy_s": duration_s}),
        key_type=output.key_type,
        pieces=output.pieces,
        books=output.books,
        part=output.part,
    )
    return _report(request, worker=worker, manifest=manifest)


def failure_report(request: TaskRequest, *, worker: str | None, error: Exception) -> Report:
    """Return the report of an execution that ended with ``error``. Raise ``error`` if a report cannot describe it."""
    kind, message = _classify(error)
    user = error if isinstance(error, UserCodeError) else UserCodeError("")
    failure = Failure(
        kind=kind,
        message=_printable(message)[: limits.FAILURE_TEXT_MAX],
        traceback=_printable(user.traceback)[-limits.FAILURE_TEXT_MAX :] if user.traceback else None,
        source=_printable(user.source)[: limits.FAILURE_TEXT_MAX] if user.source else None,
        record=_printable(user.record)[: limits.FAILURE_TEXT_MAX] if user.record else None,
        phase=request.phase,
        task=request.task,
        attempt=request.attempt,
    )
    return _report(request, worker=worker, failure=failure)


def _classify(error: Exception) -> tuple[FailureKind, str]:
    if isinstance(error, MemoryError):
        return FailureKind.CRASH, "the worker ran out of memory: give it more, or let s3mr use less of it (--memory)"
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return FailureKind.REQUEST, "the temporary folder is full: free space, or set TMPDIR to a larger folder"
    if isinstance(error, OSError):
        return FailureKind.CRASH, f"a system call of the worker failed: {error}"
    for kind in _KINDS:
        if isinstance(error, kind):
            return _KINDS[kind], str(error)
    raise error


def _too_late(request: TaskRequest, *, worker: str, late_s: float) -> Report:
    """Return the report of an execution that did nothing, because it could have run beyond its lease."""
    failure = Failure(
        kind=FailureKind.NO_ROOM,
        message=f"the execution was invoked {late_s:.0f} s too late to finish within its lease",
        phase=request.phase,
        task=request.task,
        attempt=request.attempt,
    )
    return _report(request, worker=worker, failure=failure)


def _report(
    request: TaskRequest, *, worker: str | None, manifest: Manifest | None = None, failure: Failure | None = None
) -> Report:
    return Report(
        job_id=request.spec.job_id,
        phase=request.phase,
        task=request.task,
        attempt=request.attempt,
        token=request.token,
        worker=worker,
        manifest=manifest,
        failure=failure,
    )


def _printable(text: str) -> str:
    """Return ``text`` with lone surrogates escaped, because UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode()
