"""Explain errors about exhausted system resources (descriptors, processes, memory), with advice for the user."""

import errno
import resource
from typing import Final

from s3mr.errors import RequestError

DESCRIPTORS_MIN: Final = 48  # for a command with one worker: pipes, connections, modules being imported
DESCRIPTORS_A_WORKER: Final = 4
_NO_THREAD: Final = "can't start new thread"  # Python's message


def check_descriptors(workers: int = 1) -> None:
    """Refuse to start if the command would run out of descriptors later.

    Raises:
        RequestError: the limit of open files is too low for this process and its ``workers``.
    """
    needed = DESCRIPTORS_MIN + DESCRIPTORS_A_WORKER * (workers - 1)
    if _limit(resource.RLIMIT_NOFILE) < needed:
        asked = "" if workers == 1 else ", or ask for fewer --workers"
        need = "a worker needs" if workers == 1 else f"{workers} workers need"
        raise RequestError(
            f"too few open files are allowed here: {_limit(resource.RLIMIT_NOFILE)}, and {need} {needed}: raise the "
            f"limit (ulimit -n {needed}){asked}"
        )


def exhaustion(error: BaseException | None) -> str | None:
    """Return which resource is exhausted and what to do, if ``error`` or its cause says so; else None."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        limit = _limit(resource.RLIMIT_NOFILE)
        return f"too many open files ({limit} are allowed): raise the limit (ulimit -n), or ask for fewer --workers"
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "there is no free memory: end other programs, or ask for fewer --workers or less --memory"
    no_thread = isinstance(error, RuntimeError) and str(error).startswith(_NO_THREAD)
    if no_thread or (isinstance(error, OSError) and error.errno == errno.EAGAIN):
        limit = _limit(resource.RLIMIT_NPROC)
        return (
            f"no more processes and threads can be started (this user may have {limit} in all programs together): end "
            "other programs, raise the limit (ulimit -u), or ask for fewer --workers"
        )
    return exhaustion(error.__cause__) if error is not None and error.__cause__ is not None else None


def _limit(kind: int) -> int:
    limit, _ = resource.getrlimit(kind)
    return 2**31 if limit == resource.RLIM_INFINITY else limit
