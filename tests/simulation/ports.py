"""The ports of a simulated process: every call takes virtual time, may be hit by a fault, and is watched.

The memory adapters do the work; the contract suite keeps them equal to the services.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Final, Protocol, TypeVar

from s3mr.batching import batched
from s3mr.errors import S3mrError, TransientError
from s3mr.ports import Observation
from tests.simulation.faults import Faults
from tests.simulation.loop import START, Loop, Process, ProcessKilled

T = TypeVar("T")
U = TypeVar("U")

#: The argument of a method that is a batch, which a service may carry out in part.
BATCHES: Final = {"begin": 1, "forget": 2, "seal": 2, "delete": 0, "discard_open": 0, "withdraw": 0}
_PLAIN: Final = frozenset((str, bytes, int, float, type(None)))
SLOW_S: Final = 8.0
PAUSE_S: Final = 0.2
PAUSE_OCTAVES: Final = 10.0  # up to 200 s
LATE_EFFECT_S: Final = (0.01, 4.0)


class Watcher(Protocol):
    """Sees every operation's effect before any other process can act."""

    def before(self, process: Process, port: str, method: str, args: tuple[Any, ...]) -> None: ...

    def after(
        self, process: Process, port: str, method: str, args: tuple[Any, ...], more: Any, answer: Any
    ) -> None: ...

    def harmed(self, process: Process, fault: str) -> None: ...


class Deaths:
    """Deaths that a sweep selects: at which operation of the whole run, before or after its effect."""

    def __init__(self, chosen: dict[int, str] | None = None) -> None:
        self.chosen = chosen or {}
        self.operations = 0  # by processes that may die
        self.met = 0

    def at_this(self) -> str | None:
        self.operations += 1
        fault = self.chosen.get(self.operations)
        self.met += fault is not None
        return fault


class Operations:
    """Carries out the operations of all processes."""

    def __init__(self, loop: Loop, faults: Faults, watcher: Watcher, deaths: Deaths, *, keeps_trace: bool) -> None:
        self.trace: list[str] = []
        self.count = 0
        self._keeps_trace = keeps_trace
        self._hash = hashlib.blake2b(digest_size=8)
        self._loop, self._faults, self._watcher, self._deaths = loop, faults, watcher, deaths

    def port(self, real: Any, name: str) -> Any:
        """Return ``real`` as simulated processes see it."""
        return _Port(real, name, self)

    def note(self, line: str) -> None:
        """Add a line to the trace, and to its hash."""
        line = f"{self._loop.now - START:10.3f} {line}"
        self._hash.update(line.encode())
        if self._keeps_trace:
            self.trace.append(line)

    @property
    def digest(self) -> str:
        """The hash of everything that happened so far."""
        return self._hash.hexdigest()

    def call(self, port: str, method: str, action: Callable[..., Any], args: tuple[Any, ...], more: Any) -> Any:
        """Carry out one operation for the current process."""
        process = self._loop.current
        if process is None or not process.alive:
            raise ProcessKilled
        self.count += 1
        where = f"{process.name} {port}.{method}"
        args = tuple(_repeatable(one) for one in args)
        fault = self._faults.of_io(process.kind, where, method)
        if method == "write" and fault in ("repeat", "late-effect"):
            fault = "lose-answer"  # bytes are sent under a number: sending them again changes nothing
        if process.kind != "person":
            fault = self._deaths.at_this() or fault
        latency_s = self._faults.latency_s()
        self._loop.suspend(SLOW_S if fault == "slow" else latency_s)
        self.note(f"{where} {_shown(args)} {fault or ''}")
        if fault is not None:
            self._watcher.harmed(process, fault)
        self._watcher.before(process, port, method, args)

        def effect() -> Any:
            answer = action(*args, **more)
            if hasattr(answer, "__next__"):
                answer = self._read(process, port, list(answer), where)
            self._watcher.after(process, port, method, args, more, answer)
            return answer

        answer = self._with(fault, process, method, args, effect)
        if method == "observe" and answer is not None and self._faults.strikes("torn", process.name):
            return self._torn(answer, partial(action, *args))
        return answer

    def _with(self, fault: str | None, process: Process, method: str, args: tuple[Any, ...], effect: Any) -> Any:
        """Return the response to an operation that ``fault`` hits."""
        match fault:
            case "refuse":
                raise TransientError("503 Slow Down")
            case "die-before":
                _die(process)
            case "late-effect":
                self._loop.after(self._faults.between(*LATE_EFFECT_S), lambda: _quietly(effect))
                raise TransientError("timed out")
            case "partial" if method in BATCHES:
                batch = args[BATCHES[method]]
                del batch[self._faults.below(len(batch) + 1) :]
                effect()
                raise TransientError("some of it was not processed")
        answer = effect()
        match fault:
            case "repeat":
                answer = effect()
            case "die-after":
                _die(process)
            case "lose-answer":
                raise TransientError("the connection was closed")
            case "pause":
                self._loop.suspend(PAUSE_S * 2 ** self._faults.between(0, PAUSE_OCTAVES))
        return self.port(answer, "part") if method == "open_part" else answer

    def _torn(self, first: Observation, again: Callable[[], Observation | None]) -> Observation:
        """Return an observation as of a query with two pages: live attempts are read later."""
        self._loop.suspend(self._faults.latency_s())
        second = again()
        return first if second is None else Observation(first.job, first.cancel_requested, second.live)

    def _read(self, process: Process, port: str, answer: list[Any], where: str) -> Iterator[Any]:
        """Return what was read. Data from the stack's bucket and the inputs may be damaged.

        A flipped byte of an input is not detected by our checksums: that is left to the transport.
        """
        if port in ("objects", "inputs") and answer and isinstance(answer[0], bytes):
            if self._faults.strikes("truncate", where):
                self._watcher.harmed(process, "truncate")
                answer[-1] = answer[-1][: self._faults.below(len(answer[-1]))]
            elif port == "objects" and self._faults.strikes("flip", where):
                self._watcher.harmed(process, "flip")
                damaged = bytearray(answer[0])
                damaged[self._faults.below(len(damaged))] ^= 1 << self._faults.below(8)
                answer[0] = bytes(damaged)
        return iter(answer)


class _Port:
    def __init__(self, real: Any, name: str, operations: Operations) -> None:
        self._real, self._name, self._call = real, name, operations.call

    def __getattr__(self, method: str) -> Any:
        action, name, carry_out = getattr(self._real, method), self._name, self._call

        def call(*args: Any, **more: Any) -> Any:
            return carry_out(name, method, action, args, more)

        self.__dict__[method] = call
        return call


class VirtualClock:
    """The current process's clock. It may be set forwards or back between any two readings."""

    def __init__(self, loop: Loop, faults: Faults) -> None:
        self._loop, self._faults = loop, faults

    def now(self) -> float:
        """Return the time as this process sees it."""
        process = self._loop.current
        if process is None:
            return self._loop.now
        ahead_s = self._faults.clock_steps(process.name)
        if ahead_s is not None:
            process.skew_s = ahead_s
        return self._loop.now + process.skew_s

    def sleep(self, seconds: float) -> None:
        """Pause."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self._loop.suspend(seconds)


class SeededEntropy:
    """Random digits that depend only on the seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"s3mr/{seed}/entropy")

    def hex(self, digits: int) -> str:
        """Return ``digits`` hexadecimal digits."""
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"


class AnyOrder:
    """Overlapping calls: any of the calls under way may run first."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def map(self, function: Callable[[T], U], items: Iterable[T], *, width: int) -> Iterator[U]:
        """Yield the results in the items' order; an error is raised at its position."""
        for batch in batched(items, width):
            answers: dict[int, U] = {}
            errors: dict[int, Exception] = {}
            for number in self._faults.shuffled(list(range(len(batch)))):
                try:
                    answers[number] = function(batch[number])
                except Exception as error:  # noqa: BLE001 - raised again in its turn
                    errors[number] = error
            for number in range(len(batch)):
                if number in errors:
                    raise errors[number]
                yield answers[number]


def _die(process: Process) -> None:
    process.alive = False
    raise ProcessKilled


def _quietly(effect: Callable[[], Any]) -> None:
    with suppress(S3mrError, ProcessKilled):  # the caller has already been told that it may not have happened
        effect()


def _repeatable(argument: Any) -> Any:
    """Return a copy of an argument with which an operation can be repeated, or run later."""
    kind = type(argument)
    if kind in _PLAIN:
        return argument
    if isinstance(argument, io.IOBase):
        argument.seek(0)
        return argument.read()
    return list(argument) if kind in (list, tuple) or hasattr(argument, "__next__") else argument


def _shown(args: tuple[Any, ...]) -> str:
    return " ".join(one for one in args if isinstance(one, str))
