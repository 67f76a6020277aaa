"""Virtual time, and processes that stand still at every I/O: one thread, one heap of events.

A process is a greenlet. It runs until it suspends itself; then the next event of the heap has its turn. Nothing here
knows what the processes do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

START: float = 1_700_000_000.0  # seconds since the epoch, when every simulation begins


class Killed(BaseException):
    """Thrown into a process that dies; what it still does on its way out has no effect, for no port serves the dead."""


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended: with a value, an error, or neither (it was killed)."""

    value: Any = None
    error: Exception | None = None
    killed: bool = False


class Process:
    """Something that runs, waits and can be killed. ``work`` is what it works on, for those who look."""

    def __init__(self, loop: "Loop", kind: str, number: int, work: Any, skew_s: float) -> None:
        self.kind = kind
        self.name = f"{kind}-{number}"
        self.work = work
        self.skew_s = skew_s  # how far its clock is ahead, now
        self.born_at = loop.now
        self.alive = True
        self.greenlet: greenlet
        self.unborn: Callable[[], object]  # what is done if it is killed before it has begun
        self._loop = loop

    def resume(self) -> None:
        """Let it run until it suspends itself again or ends."""
        if self.alive:
            self._loop.current = self
            self.greenlet.switch()
            self._loop.current = None

    def kill(self) -> None:
        """End it where it stands. Never called by the process itself: that one raises `Killed`."""
        if self.alive:
            self.alive = False
            if self.greenlet:
                self.greenlet.throw(Killed)
            else:
                self.unborn()


class Loop:
    """The heap of events."""

    def __init__(self) -> None:
        self.now = START
        self.current: Process | None = None
        self.processes: dict[str, Process] = {}  # those alive
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._order: Iterator[int] = count()
        self._numbers: Iterator[int] = count()
        self._hub = getcurrent()

    def after(self, delay_s: float, action: Callable[[], object]) -> None:
        """Have ``action`` done when ``delay_s`` have passed; what falls on one instant happens in the order asked."""
        heappush(self._heap, (self.now + delay_s, next(self._order), action))

    def spawn(
        self, kind: str, body: Callable[[], Any], ended: Callable[[End], object], *, work: Any = None, skew_s: float = 0
    ) -> Process:
        """Start a process; ``ended`` is told how it ended."""
        process = Process(self, kind, next(self._numbers), work, skew_s)

        def over(end: End) -> None:
            process.alive = False
            del self.processes[process.name]
            self.current = None
            ended(end)

        def run() -> None:
            try:
                end = End(value=body())
            except Killed:
                end = End(killed=True)
            except Exception as error:  # noqa: BLE001 - whoever started it judges the error
                end = End(error=error)
            over(end)

        process.greenlet = greenlet(run, self._hub)
        process.unborn = lambda: over(End(killed=True))
        self.processes[process.name] = process
        self.after(0, process.resume)
        return process

    def suspend(self, delay_s: float) -> None:
        """Let the current process stand still for so long.

        Raises:
            Killed: it was killed meanwhile.
        """
        process = self.current
        assert process is not None
        heappush(self._heap, (self.now + delay_s, next(self._order), process.resume))
        self._hub.switch()
        if not process.alive:
            raise Killed

    def step(self) -> bool:
        """Let the next event happen; False: there is none."""
        if not self._heap:
            return False
        self.now, _, action = heappop(self._heap)
        action()
        return True

    def close(self) -> None:
        """Kill all processes, and forget all events."""
        for process in list(self.processes.values()):
            process.kill()
        self._heap.clear()
