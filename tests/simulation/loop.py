"""Virtual time, and processes that pause at every I/O: one thread, one heap of events.

A process is a greenlet. It runs until it suspends itself; then the next event of the heap runs. This module does not
know what the processes do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

START: float = 1_700_000_000.0  # start of every simulation, in seconds since the epoch


class ProcessKilled(BaseException):
    """Raised in a process that dies. Its cleanup has no effect, because ports refuse the calls of dead processes."""


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended: with a value, an error, or neither (it was killed)."""

    value: Any = None
    error: Exception | None = None
    killed: bool = False


class Process:
    """A process that runs, waits and can be killed. ``work`` is what it works on, for the watcher."""

    def __init__(self, loop: "Loop", kind: str, number: int, work: Any, skew_s: float) -> None:
        self.kind = kind
        self.name = f"{kind}-{number}"
        self.work = work
        self.skew_s = skew_s  # how far its clock is ahead now
        self.born_at = loop.now
        self.alive = True
        self.greenlet: greenlet
        self.killed_early: Callable[[], object]  # called if it is killed before it starts
        self._loop = loop

    def resume(self) -> None:
        """Run it until it suspends itself again or ends."""
        if self.alive:
            self._loop.current = self
            self.greenlet.switch()
            self._loop.current = None

    def kill(self) -> None:
        """End it now. A process never calls this for itself: it raises `ProcessKilled`."""
        if self.alive:
            self.alive = False
            if self.greenlet:
                self.greenlet.throw(ProcessKilled)
            else:
                self.killed_early()


class Loop:
    """The heap of events."""

    def __init__(self) -> None:
        self.now = START
        self.current: Process | None = None
        self.processes: dict[str, Process] = {}  # living processes only
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._order: Iterator[int] = count()
        self._numbers: Iterator[int] = count()
        self._hub = getcurrent()

    def after(self, delay_s: float, action: Callable[[], object]) -> None:
        """Run ``action`` after ``delay_s``. Actions due at the same time run in the order of these calls."""
        heappush(self._heap, (self.now + delay_s, next(self._order), action))

    def spawn(
        self, kind: str, body: Callable[[], Any], ended: Callable[[End], object], *, work: Any = None, skew_s: float = 0
    ) -> Process:
        """Start a process. ``ended`` is called with its end."""
        process = Process(self, kind, next(self._numbers), work, skew_s)

        def over(end: End) -> None:
            process.alive = False
            del self.processes[process.name]
            self.current = None
            ended(end)

        def run() -> None:
            try:
                end = End(value=body())
            except ProcessKilled:
                end = End(killed=True)
            except Exception as error:  # noqa: BLE001 - whoever started it judges the error
                end = End(error=error)
            over(end)

        process.greenlet = greenlet(run, self._hub)
        process.killed_early = lambda: over(End(killed=True))
        self.processes[process.name] = process
        self.after(0, process.resume)
        return process

    def suspend(self, delay_s: float) -> None:
        """Pause the current process.

        Raises:
            ProcessKilled: it was killed meanwhile.
        """
        process = self.current
        assert process is not None
        heappush(self._heap, (self.now + delay_s, next(self._order), process.resume))
        self._hub.switch()
        if not process.alive:
            raise ProcessKilled

    def step(self) -> bool:
        """Run the next event; return False if there is none."""
        if not self._heap:
            return False
        self.now, _, action = heappop(self._heap)
        action()
        return True

    def close(self) -> None:
        """Kill all processes, and drop all events."""
        for process in list(self.processes.values()):
            process.kill()
        self._heap.clear()
