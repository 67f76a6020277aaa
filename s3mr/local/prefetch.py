"""How many attempts the workers are given ahead: the shorter the tasks, the more, so that a tick launches many at once.

A tick costs requests and time, however much it launches. What waits here is about half a second of work: long tasks
wait in the table, where a tick chooses among all of them.
"""

from dataclasses import dataclass
from typing import Final

QUEUED_MIN: Final = 2  # attempts a worker, that which it runs included: none waits for a tick between two tasks
QUEUED_MAX: Final = 20
AHEAD_S: Final = 0.5
_KEPT: Final = 0.75  # of what was known, where a task was shorter


@dataclass(slots=True)
class Prefetch:
    """What is known of the tasks: how long the last ones took, the longest most of all."""

    workers: int
    task_s: float = AHEAD_S

    def note(self, duration_s: float) -> None:
        """A task has taken ``duration_s``. A longer one counts at once, shorter ones little by little."""
        self.task_s = max(duration_s, _KEPT * self.task_s + (1 - _KEPT) * duration_s)

    @property
    def queued(self) -> int:
        """How many attempts a worker should have."""
        return max(QUEUED_MIN, min(QUEUED_MAX, int(AHEAD_S / max(self.task_s, 1e-6))))

    @property
    def capacity(self) -> int:
        """How many attempts all workers should have together."""
        return self.workers * self.queued

    @property
    def enough(self) -> int:
        """Down to how many attempts no more are needed yet."""
        return self.capacity - 1 if self.queued == QUEUED_MIN else self.capacity // 2
