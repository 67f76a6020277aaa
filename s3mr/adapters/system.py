"""Implement the clock, entropy and parallel ports with this machine's own."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


class SystemClock:
    """The wall clock."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SystemEntropy:
    """The operating system's random numbers."""

    def hex(self, digits: int) -> str:
        return secrets.token_hex((digits + 1) // 2)[:digits]


class Threads:
    """Runs calls in parallel on a thread pool, which is created at first use and shared by all calls."""

    def __init__(self, *, threads_max: int) -> None:
        self._threads_max = threads_max
        self._pool: ThreadPoolExecutor | None = None
        self._making = threading.Lock()

    def map(self, function: Callable[[T], U], items: Iterable[T], *, width: int) -> Iterator[U]:
        with self._making:
            self._pool = pool = self._pool or ThreadPoolExecutor(self._threads_max, "s3mr-parallel")
        ahead: deque[Future[U]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) >= width:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except Exception:
            wait([future for future in ahead if not future.cancel()])  # running calls must not have effects later
            raise
        finally:
            for future in ahead:
                future.cancel()


class InTurn:
    """A fake of parallel calls: runs them one after another."""

    def map(self, function: Callable[[T], U], items: Iterable[T], *, width: int) -> Iterator[U]:  # noqa: ARG002 - the port's signature
        return map(function, items)
