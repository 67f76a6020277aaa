"""A worker of the embedded cloud: a process that runs one attempt after another, as a Lambda environment does.

Requests come as lines of JSON on standard input; reports go back on standard output, one line each, after an empty line
that says that the worker is ready. What user code prints goes to standard error. When the input ends, the parent has
died: the process kills itself and all it started.
"""

import gc
import json
import os
import queue
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from s3mr.processes.lifeline import follow, kill_own_group
from s3mr.processes.process_start import BROKEN_STATUS, live, show_as, without_collections
from s3mr.settings import EMBEDDED_KEY, Settings

if TYPE_CHECKING:
    from s3mr.wiring import Stack

GC_THRESHOLDS = (5_000, 20, 20)  # records make no cycles; a user's wait for a few thousand objects, not for ever


def main(stack: "Stack | None" = None) -> None:
    """Work until standard input ends, with a stack that a template has made, or with one of its own."""
    show_as("s3mr-worker")
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    follow(_private(0, os.O_RDONLY), requests.put, kill_own_group)
    reports = _private(1, os.O_WRONLY, shown_as=2)
    settings = Settings.from_environment(os.environ)
    os.environ.pop(EMBEDDED_KEY, None)  # what user code prints or starts need not have it
    with without_collections():
        from s3mr.model.report import TaskRequest
        from s3mr.processes.chaos import Chaos
        from s3mr.wiring import Stack

        handler, chaos = (stack or Stack(settings)).task_handler(), Chaos.parse(settings.chaos or "")
    gc.set_threshold(*GC_THRESHOLDS)
    reports.write(b"\n")  # ready: from here the time of a task counts
    reports.flush()
    own_pid = os.getpid()
    while True:
        asked = json.loads(requests.get())
        event, execution = asked["request"], asked["execution"]
        try:
            report = chaos.execute(TaskRequest.model_validate(event), execution, partial(handler.handle, event))
        except BaseException as error:  # noqa: BLE001 - user code can break anything here; say so in a line, and die
            os.write(2, f"s3mr: a worker ends, of {error!r}\n".encode("utf-8", "backslashreplace"))
            os._exit(BROKEN_STATUS)
        if os.getpid() != own_pid:
            os._exit(0)  # a child that user code has forked, and that has come back instead of ending
        reports.write(json.dumps(report).encode() + b"\n")
        reports.flush()


def _private(descriptor: int, mode: int, shown_as: int | None = None) -> BinaryIO:
    """Take a standard stream away from user code, which gets ``/dev/null`` or another stream in its place."""
    mine = os.dup(descriptor)
    instead = os.open(os.devnull, mode) if shown_as is None else shown_as
    os.dup2(instead, descriptor)
    return os.fdopen(mine, "rb") if mode == os.O_RDONLY else os.fdopen(mine, "wb")


if __name__ == "__main__":
    live(main)
