"""Chaos on purpose: executions that die, hang or are doubled, for testing that a job survives them.

Drawn once an execution from (seed, phase, task, attempt, execution), so that a run can be had again; a task's last
attempt is spared, so that every job can succeed. A doubled attempt has a second execution, which may die or hang, too.
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

MEANWHILE_S = 0.3  # it happens at most so long after an execution has begun
HANG_S = 1.0  # after which whoever waits for what hangs on purpose takes it to hang

T = TypeVar("T")
Fate = Literal["crash", "stall", "dup", "none"]


@dataclass(frozen=True, slots=True)
class Chaos:
    """The chances, each in ``[0, 1]``, that an execution dies, hangs, or is doubled."""

    crash: float = 0.0
    stall: float = 0.0
    dup: float = 0.0
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``crash=.3,stall=.3,dup=.3,seed=7``; what is left out is 0.

        Raises:
            RequestError: it is not of that form.
        """
        try:
            given = dict(item.split("=") for item in text.split(",") if item)
            seed = int(given.pop("seed", "0"))
            chaos = cls(**{name: float(value) for name, value in given.items()}, seed=seed)
        except (TypeError, ValueError):
            raise RequestError(f"--chaos {text!r}: write crash=.3,stall=.3,dup=.3,seed=7") from None
        if min(chaos.crash, chaos.stall, chaos.dup) < 0 or chaos.crash + chaos.stall + chaos.dup > 1:
            raise RequestError(f"--chaos {text!r}: chances are from 0 to 1, and so is their sum")
        return chaos

    def fate(self, request: TaskRequest, execution: int) -> Fate:
        """Draw what befalls an execution of ``request``, the first or the second one; only the first is doubled."""
        return self._draw(request, execution)[0]

    def timeout_s(self, request: TaskRequest, execution: int) -> float:
        """Return for how long to wait for an execution: a run with hanging workers shall not take minutes."""
        timeout_s = request.spec.task_timeout_s
        return min(timeout_s, HANG_S) if self.fate(request, execution) == "stall" else timeout_s

    def execute(self, request: TaskRequest, execution: int, execute: Callable[[], T]) -> T:
        """In a worker: execute ``request``, unless it is to die or to hang: before, meanwhile, or before it reports."""
        fate, delay_s = self._draw(request, execution)
        if fate not in ("crash", "stall"):
            return execute()
        end = _die if fate == "crash" else _hang
        if delay_s > 0:
            threading.Timer(delay_s, end).start()
            execute()
        return end()

    def _draw(self, request: TaskRequest, execution: int) -> tuple[Fate, float]:
        """Draw a fate and its moment: seconds after the execution has begun, or before it where negative."""
        if request.attempt >= request.spec.request.attempts:
            return "none", 0.0
        drawn_from = f"{self.seed}|{request.phase}|{request.task}|{request.attempt}|{execution}"
        random = Random(drawn_from)  # noqa: S311 - repeatable
        draw, delay_s = random.random(), random.uniform(-MEANWHILE_S, MEANWHILE_S)
        chances: tuple[tuple[Fate, float], ...] = (("crash", self.crash), ("stall", self.stall), ("dup", self.dup))
        for fate, chance in chances:
            if draw < chance:
                return (fate if fate != "dup" or execution == 1 else "none"), delay_s
            draw -= chance
        return "none", delay_s


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
    raise AssertionError("unreachable: the process is dead")


def _hang() -> NoReturn:
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)  # all threads of it, whatever they hold; only a kill ends that
