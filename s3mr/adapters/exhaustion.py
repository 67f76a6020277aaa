"""What the system has no more of for this process: descriptors, processes, memory; and what its user can do."""

import errno
import resource
from typing import Final

from s3mr.errors import RequestError

DESCRIPTORS_MIN: Final = 48  # of a command with one worker: pipes, connections, modules while they are imported
DESCRIPTORS_A_WORKER: Final = 4
_NO_THREAD: Final = "can't start new thread"  # as Python says it


def check_descriptors(workers: int = 1) -> None:
    """Refuse to start what would run out of descriptors half-way.

    Raises:
        RequestError: this process may not have as many open files as it and its ``workers`` need.
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
    """Return what has run out and what to do, where that is what ``error``, or what it comes of, says; else None."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        limit = _limit(resource.RLIMIT_NOFILE)
        return f"too many open files ({limit} are allowed): raise the limit (ulimit -n), or ask for fewer --workers"
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "the memory is used up: end other programs, or ask for fewer --workers or less --memory"
    no_thread = isinstance(error, RuntimeError) and str(error).startswith(_NO_THREAD)
    if no_thread or (isinstance(error, OSError) and error.errno == errno.EAGAIN):
        limit = _limit(resource.RLIMIT_NPROC)
        return (
            f"no more processes and threads can be started (this user may have {limit}, all programs together): end "
            "other programs, raise the limit (ulimit -u), or ask for fewer --workers"
        )
    return exhaustion(error.__cause__) if error is not None and error.__cause__ is not None else None


def _limit(kind: int) -> int:
    limit, _ = resource.getrlimit(kind)
    return 2**31 if limit == resource.RLIM_INFINITY else limit
