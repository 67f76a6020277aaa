"""Time, chance and threads of the machine itself."""

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
    """The operating system's source of chance."""

    def hex(self, digits: int) -> str:
        return secrets.token_hex((digits + 1) // 2)[:digits]


class Threads:
    """Parallel calls on a pool of threads, made at the first use and shared by all calls of this process."""

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
            wait([future for future in ahead if not future.cancel()])  # what has begun has an effect: not after this
            raise
        finally:
            for future in ahead:
                future.cancel()


class InTurn:
    """Parallel calls, one after another: the honest fake."""

    def map(self, function: Callable[[T], U], items: Iterable[T], *, width: int) -> Iterator[U]:  # noqa: ARG002 - the port's signature
        return map(function, items)
