"""Inject faults to test a job's fault tolerance: executions that die, hang, or run twice.

Each fault is drawn from (seed, phase, task, attempt, execution), so a run can be repeated. The last attempt of a task
has no faults, so every job can succeed. The second execution of a duplicated attempt may die or hang, too.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal, NoReturn, Self, TypeVar

from s3mr.errors import RequestError
from s3mr.model.report import TaskRequest

FAULT_DELAY_S_MAX = 0.3  # a fault happens at most this long after the execution starts
HANG_S = 1.0  # timeout of an execution that hangs on purpose

T = TypeVar("T")
Fault = Literal["crash", "stall", "dup", "none"]


@dataclass(frozen=True, slots=True)
class Chaos:
    """The probabilities, each in ``[0, 1]``, that an execution dies, hangs, or is duplicated."""

    crash: float = 0.0
    stall: float = 0.0
    dup: float = 0.0
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``crash=.3,stall=.3,dup=.3,seed=7``. Each item is optional and 0 by default.

        Raises:
            RequestError: ``text`` does not have this form.
        """
        try:
            given = dict(item.split("=") for item in text.split(",") if item)
            seed = int(given.pop("seed", "0"))
            chaos = cls(**{name: float(value) for name, value in given.items()}, seed=seed)
        except (TypeError, ValueError):
            raise RequestError(f"--chaos {text!r}: write crash=.3,stall=.3,dup=.3,seed=7") from None
        if min(chaos.crash, chaos.stall, chaos.dup) < 0 or chaos.crash + chaos.stall + chaos.dup > 1:
            raise RequestError(f"--chaos {text!r}: each probability, and their sum, must be from 0 to 1")
        return chaos

    def fault(self, request: TaskRequest, execution: int) -> Fault:
        """Draw the fault of an execution of ``request``, which is its first or second. Only the first is duplicated."""
        return self._draw(request, execution)[0]

    def timeout_s(self, request: TaskRequest, execution: int) -> float:
        """Return how long to wait for an execution. It is short if the execution hangs on purpose."""
        timeout_s = request.spec.task_timeout_s
        return min(timeout_s, HANG_S) if self.fault(request, execution) == "stall" else timeout_s

    def execute(self, request: TaskRequest, execution: int, execute: Callable[[], T]) -> T:
        """In a worker: execute ``request``, or die or hang before it starts, while it runs, or before it reports."""
        fault, delay_s = self._draw(request, execution)
        if fault not in ("crash", "stall"):
            return execute()
        end = _die if fault == "crash" else _hang
        if delay_s > 0:
            threading.Timer(delay_s, end).start()
            execute()
        return end()

    def _draw(self, request: TaskRequest, execution: int) -> tuple[Fault, float]:
        """Draw a fault and its time, in seconds after the start of the execution. A negative time means before it."""
        if request.attempt >= request.spec.request.attempts:
            return "none", 0.0
        drawn_from = f"{self.seed}|{request.phase}|{request.task}|{request.attempt}|{execution}"
        random = Random(drawn_from)  # noqa: S311 - must be repeatable
        draw, delay_s = random.random(), random.uniform(-FAULT_DELAY_S_MAX, FAULT_DELAY_S_MAX)
        chances: tuple[tuple[Fault, float], ...] = (("crash", self.crash), ("stall", self.stall), ("dup", self.dup))
        for fault, chance in chances:
            if draw < chance:
                return (fault if fault != "dup" or execution == 1 else "none"), delay_s
            draw -= chance
        return "none", delay_s


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
    raise AssertionError("unreachable: the process is dead")


def _hang() -> NoReturn:
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)  # stops all threads; only a kill ends this
