"""Wait in a test for a condition; and a job whose tasks wait for the test."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

PAUSE_S: Final = 0.05
T = TypeVar("T")


def until(found: Callable[[], T | None], within_s: float = 60.0) -> T:
    """Return the first true result of ``found``.

    Raises:
        TimeoutError: it was never true in that time.
    """
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(PAUSE_S)
    raise TimeoutError(f"the condition was not true within {within_s} s")


WAITS: Final = """
    import pathlib, time

    def wait(source, line):
        folder = pathlib.Path(params["gate"])
        (folder / f"reached-{line}").touch()
        end = time.monotonic() + 60
        while line == "slow!" and not (folder / "open").exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield line, 1

    def total(key, values):
        yield key, sum(values)

    job = Job(map=wait, reduce=total)
"""


@dataclass(frozen=True)
class TaskGate:
    """A folder with which tasks of the job ``WAITS`` report each record, and wait at ``slow!`` until it is open."""

    folder: Path

    @property
    def options(self) -> tuple[str, str]:
        return ("--param", f"gate={self.folder}")

    def reached(self, record: str) -> bool:
        return (self.folder / f"reached-{record}").exists()

    def open(self) -> None:
        (self.folder / "open").touch()
