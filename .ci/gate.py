"""Run the gate, ``make check``: three tracks in parallel. Then print the time and the result of each stage.

The stages of a track run one after another. A track ends when a stage fails. The deployed tests run in their own
process, because they share one cloud, and moto keeps its state in the process. The other tests run at the same time.
Long files come first and short ones last, so that all processes end together (`tests/conftest.py`).

``python .ci/gate.py tests`` runs only the tests.
"""

import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

Track = dict[str, tuple[str, ...]]

BIN: Final = Path(sys.executable).parent
PYTEST: Final = (str(BIN / "python"), "-m", "pytest", "-q")
CHECKS: Final[Track] = {
    "format": (str(BIN / "ruff"), "format", "--check", "."),
    "lint": (str(BIN / "ruff"), "check", "."),
    "types": (str(BIN / "mypy"),),
    "imports": (str(BIN / "lint-imports"),),
    "site": ("make", "--no-print-directory", "site"),
}
DEPLOYED: Final[Track] = {"deployed-tests": (*PYTEST, "tests/deployed")}
OTHERS: Final[Track] = {
    "other-tests": (*PYTEST, "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder",
                      "--ignore", "tests/deployed", "--ignore", "tests/emulator"),
}  # fmt: skip


@dataclass
class Stage:
    """A command of a track, and its result. ``status`` is None until it has ended."""

    name: str
    command: tuple[str, ...]
    said: Path
    status: int | None = None
    took_s: float = 0.0

    @property
    def outcome(self) -> str:
        return {None: "not run", 0: "passed"}.get(self.status, "failed")


class Gate:
    """Runs tracks of stages. Their output and temporary files go to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: set[subprocess.Popen[bytes]] = set()
        self._turn = threading.Lock()
        self.stages: list[Stage] = []

    def start(self, commands: Track, *, aloud: bool = False) -> threading.Thread:
        """Start a track in a thread. Its output is printed at the end, or at once if ``aloud``."""
        track = [Stage(name, command, self._folder / f"{name}.txt") for name, command in commands.items()]
        self.stages += track
        thread = threading.Thread(target=self._run, args=(track, aloud))
        thread.start()
        return thread

    def stop(self) -> None:
        """Interrupt all running commands."""
        with self._turn:
            for process in self._running:
                process.send_signal(signal.SIGINT)

    def report(self) -> int:
        """Print the kept output, and a line for each stage. Return the exit status."""
        for stage in self.stages:
            if stage.said.exists():
                print(f"\n== {stage.name}\n{stage.said.read_text(errors='replace').rstrip()}")
        print()
        for stage in self.stages:
            print(f"{stage.took_s:6.0f} s  {stage.outcome:8} {stage.name}")
        return int(any(stage.status != 0 for stage in self.stages))

    def _run(self, track: list[Stage], aloud: bool) -> None:  # noqa: FBT001 - an argument of a thread
        for stage in track:
            begun_at = time.monotonic()
            if aloud:
                stage.status = self._call(stage, None)
            else:
                with stage.said.open("wb") as said:
                    stage.status = self._call(stage, said.fileno())
            stage.took_s = time.monotonic() - begun_at
            if stage.status != 0:
                return

    def _call(self, stage: Stage, output: int | None) -> int:
        own = ("--basetemp", str(self._folder / stage.name)) if "pytest" in stage.command else ()
        with self._turn:
            process = subprocess.Popen([*stage.command, *own], stdout=output, stderr=output and subprocess.STDOUT)
            self._running.add(process)
        status = process.wait()
        with self._turn:
            self._running.remove(process)
        return status


def main() -> int:
    """Run all tracks, print the results, and return the exit status."""
    begun_at, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="gate-"))
    gate = Gate(folder)

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        gate.stop()

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        tracks = [gate.start(DEPLOYED), gate.start(OTHERS, aloud=True)]
        if sys.argv[1:] != ["tests"]:
            tracks.append(gate.start(CHECKS))
        for track in tracks:
            track.join()
        status = gate.report()
    finally:
        subprocess.run(["/bin/rm", "-rf", folder], check=True)  # some folders are too deep for shutil
    print(f"{time.monotonic() - begun_at:6.0f} s  {'failed' if status else 'passed'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
