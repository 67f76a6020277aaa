"""The worker process: it runs one attempt after another.

It reads requests from standard input, as lines of JSON. It writes an empty line to standard output when it is ready,
and then one line per report. What user code prints goes to standard error. When the input ends, the parent has died:
the worker kills itself and its process group.
"""

import gc
import json
import os
import queue
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from s3mr.processes.lifeline import follow, kill_own_group
from s3mr.processes.process_start import BROKEN_STATUS, run_process, set_process_name, without_collections
from s3mr.settings import EMBEDDED_KEY, Settings

if TYPE_CHECKING:
    from s3mr.wiring import Stack

GC_THRESHOLDS = (5_000, 20, 20)  # higher than Python's: s3mr's records make no cycles, but user code may


def main(stack: "Stack | None" = None) -> None:
    """Work until standard input ends. ``stack`` is the fork server's; without it, the worker makes its own."""
    set_process_name("s3mr-worker")
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    follow(_private(0, os.O_RDONLY), requests.put, kill_own_group)
    reports = _private(1, os.O_WRONLY, replaced_by=2)
    settings = Settings.from_environment(os.environ)
    os.environ.pop(EMBEDDED_KEY, None)  # user code must not print it, or pass it on
    with without_collections():
        from s3mr.model.report import TaskRequest
        from s3mr.processes.chaos import Chaos
        from s3mr.wiring import Stack

        handler, chaos = (stack or Stack(settings)).task_handler(), Chaos.parse(settings.chaos or "")
    gc.set_threshold(*GC_THRESHOLDS)
    reports.write(b"\n")  # ready: a task's time counts from here
    reports.flush()
    own_pid = os.getpid()
    while True:
        asked = json.loads(requests.get())
        event, execution = asked["request"], asked["execution"]
        try:
            report = chaos.execute(TaskRequest.model_validate(event), execution, partial(handler.handle, event))
        except BaseException as error:  # noqa: BLE001 - user code can break anything here; report it, and exit
            os.write(2, f"s3mr: a worker failed: {error!r}\n".encode("utf-8", "backslashreplace"))
            os._exit(BROKEN_STATUS)
        if os.getpid() != own_pid:
            os._exit(0)  # a child that user code forked, and that returned instead of exiting
        reports.write(json.dumps(report).encode() + b"\n")
        reports.flush()


def _private(descriptor: int, mode: int, replaced_by: int | None = None) -> BinaryIO:
    """Take a standard stream away from user code, and replace it by ``/dev/null`` or another stream."""
    private = os.dup(descriptor)
    replacement = os.open(os.devnull, mode) if replaced_by is None else replaced_by
    os.dup2(replacement, descriptor)
    return os.fdopen(private, "rb") if mode == os.O_RDONLY else os.fdopen(private, "wb")


if __name__ == "__main__":
    run_process(main)
