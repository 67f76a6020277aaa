"""Measure a command: its wall time, and the CPU time of its process and of all processes that it waited for."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class CommandError(Exception):
    """A command did not exit with 0. The message ends with its output."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a command. ``cpu_s`` lacks processes that the command did not wait for, such as a server."""

    wall_s: float
    cpu_s: float

    def rounded(self) -> dict[str, float]:
        return {"wall_s": round(self.wall_s, 2), "cpu_s": round(self.cpu_s, 2)}


def measure(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Measured:
    """Run ``command`` to its end.

    Raises:
        CommandError: it failed.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - the commands are constants
            command, stdout=said, stderr=said, env={**os.environ, **(environment or {})}, cwd=cwd
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            text = said.read().decode(errors="replace")[-2000:]
            raise CommandError(f"{' '.join(command)} exited with {process.returncode}:\n{text}")
    return Measured(wall_s, usage.ru_utime + usage.ru_stime)
