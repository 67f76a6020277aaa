"""Chaos on purpose: executions that die, hang or are doubled, for testing that a job survives them.

Drawn once an execution from (seed, phase, task, attempt, execution), so that a run can be had again; a task's last
attempt is spared, so that every job can succeed.
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

LATEST_DEATH_S = 0.3

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

    def fate(self, request: TaskRequest) -> Fate:
        """Draw what befalls an execution of ``request``."""
        if request.attempt >= request.spec.attempts:
            return "none"
        draw = self._random(request).random()
        for name, chance in (("crash", self.crash), ("stall", self.stall), ("dup", self.dup)):
            if draw < chance:
                return name  # type: ignore[return-value]
            draw -= chance
        return "none"

    def execute(self, request: TaskRequest, execute: Callable[[], T]) -> T:
        """In a worker: execute ``request``, unless its fate is to hang, or to die before, meanwhile or after."""
        fate = self.fate(request)
        if fate == "stall":
            signal.pause()
        if fate != "crash":
            return execute()
        delay_s = self._random(request).uniform(-LATEST_DEATH_S, LATEST_DEATH_S)
        if delay_s > 0:
            threading.Timer(delay_s, _die).start()
            execute()
        return _die()

    def _random(self, request: TaskRequest) -> Random:
        return Random(f"{self.seed}|{request.phase}|{request.task}|{request.attempt}")  # noqa: S311 - repeatable


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
    raise AssertionError("unreachable: the process is dead")
