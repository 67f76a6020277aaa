"""Decide how many attempts to queue for each worker: more for shorter tasks, so that a tick launches many at once.

A tick costs requests and time, however many attempts it launches. The queue holds about half a second of work. Longer
tasks stay in the table, so a tick can choose among all of them.
"""

from dataclasses import dataclass
from typing import Final

QUEUED_MIN: Final = 2  # attempts per worker, including the running one: no worker waits for a tick between two tasks
QUEUED_MAX: Final = 20
AHEAD_S: Final = 0.5
_KEPT: Final = 0.75  # weight of the old estimate, if a task was shorter


@dataclass(slots=True)
class Prefetch:
    """An estimate of task durations, from the last tasks; long ones weigh most."""

    workers: int
    task_s: float = AHEAD_S

    def note(self, duration_s: float) -> None:
        """Note that a task took ``duration_s``. A longer task counts at once, shorter ones gradually."""
        self.task_s = max(duration_s, _KEPT * self.task_s + (1 - _KEPT) * duration_s)

    @property
    def queued(self) -> int:
        """The number of attempts that one worker should have."""
        return max(QUEUED_MIN, min(QUEUED_MAX, int(AHEAD_S / max(self.task_s, 1e-6))))

    @property
    def capacity(self) -> int:
        """The number of attempts that all workers together should have."""
        return self.workers * self.queued

    @property
    def enough(self) -> int:
        """The number of unfinished attempts at which the workers need more."""
        return self.capacity - 1 if self.queued == QUEUED_MIN else self.capacity // 2
