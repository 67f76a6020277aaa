"""The execution environments of all functions: created when needed, reused, a few at once.

This machine limits their number. Lambda's own limits are separate (`reserved`, in `lambda_service`).
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from tests.deployed.harness.environment import Environment, InvocationOutcome
from tests.deployed.harness.functions import Version
from tests.deployed.harness.processes import children
from tests.deployed.harness.runtime_api import Invocation

PER_VERSION_MAX: Final = 6
IDLE_MAX: Final = 12
MEMORY_CHECK_S: Final = 0.1
MIB: Final = 1024 * 1024


class Closed(Exception):  # noqa: N818 - nothing is wrong: the cloud ends
    """The cloud is closed and accepts no more invocations."""


class Environments:
    """A pool of environments for each version. ``make`` starts one."""

    def __init__(self, make: Callable[[Version], Environment]) -> None:
        self._make = make
        self._idle: list[Environment] = []
        self._busy: list[Environment] = []
        self._taken: dict[str, int] = defaultdict(int)
        self._changed = threading.Condition()
        self._closed = threading.Event()
        threading.Thread(target=self._watch_memory, name="memory", daemon=True).start()

    def invoke(self, version: Version, invocation: Callable[[], Invocation]) -> InvocationOutcome:
        """Run an invocation in an environment of ``version``. ``invocation`` is called when one is free.

        Raises:
            Closed: the cloud is closing.
        """
        environment = self._take(version)
        outcome = None
        try:
            outcome = environment.invoke(invocation())
            return outcome
        finally:
            self._give_back(environment, alive=outcome is not None and outcome.alive)

    def retire_idle(self) -> None:
        """Stop idle environments, so that the next invocations start in new ones."""
        with self._changed:
            retired, self._idle = self._idle, []
        for environment in retired:
            environment.close()

    def close(self) -> None:
        """Stop all environments, even those in use."""
        self._closed.set()
        with self._changed:
            doomed = self._idle + self._busy
            self._idle = []
            self._changed.notify_all()
        for environment in doomed:
            environment.close()

    def _take(self, version: Version) -> Environment:
        with self._changed:
            self._changed.wait_for(lambda: self._closed.is_set() or self._taken[version.arn] < PER_VERSION_MAX)
            if self._closed.is_set():
                raise Closed
            self._taken[version.arn] += 1
            kept = next((one for one in self._idle if one.version == version and one.is_alive()), None)
            if kept:
                self._idle.remove(kept)
                self._busy.append(kept)
                return kept
        environment = self._make(version)
        with self._changed:
            self._busy.append(environment)
        return environment

    def _give_back(self, environment: Environment, *, alive: bool) -> None:
        doomed = []
        with self._changed:
            self._busy.remove(environment)
            self._taken[environment.version.arn] -= 1
            if alive and not self._closed.is_set():
                self._idle.append(environment)
                doomed = self._idle[:-IDLE_MAX]
                self._idle = self._idle[-IDLE_MAX:]
            else:
                doomed = [environment]
            self._changed.notify_all()
        for one in doomed:
            one.close()

    def _watch_memory(self) -> None:
        while not self._closed.wait(MEMORY_CHECK_S):
            with self._changed:
                busy = list(self._busy)
            running = children() if busy else {}
            for environment in busy:
                if environment.used_bytes(running) > environment.version.memory_mb * MIB:
                    environment.kill_largest()
