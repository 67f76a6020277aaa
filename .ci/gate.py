"""The gate, ``make check``: three tracks side by side, then what each stage took, and whether it passed.

The stages of a track run one after the other; a track ends with the first that fails. The deployed tests have a
process of their own, because they share one cloud, and moto's state is the process's. The others run meanwhile, and
those that start workers come last, when both cores are theirs (`tests/conftest.py` has the order).

``python .ci/gate.py tests`` runs the tests alone.
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
    "other-tests": (*PYTEST, "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder",
                      "--ignore", "tests/deployed", "--ignore", "tests/emulator"),
}  # fmt: skip


@dataclass
class Stage:
    """A command of a track, and what came of it; ``status`` is None until it has ended."""

    name: str
    command: tuple[str, ...]
    said: Path
    status: int | None = None
    took_s: float = 0.0

    @property
    def outcome(self) -> str:
        return {None: "not run", 0: "passed"}.get(self.status, "failed")


class Gate:
    """Runs tracks of stages. ``folder`` takes what they print and make."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: set[subprocess.Popen[bytes]] = set()
        self._turn = threading.Lock()
        self.stages: list[Stage] = []

    def start(self, commands: Track, *, aloud: bool = False) -> threading.Thread:
        """Run a track; what it prints is kept until the end, unless it runs ``aloud``."""
        track = [Stage(name, command, self._folder / f"{name}.txt") for name, command in commands.items()]
        self.stages += track
        thread = threading.Thread(target=self._run, args=(track, aloud))
        thread.start()
        return thread

    def stop(self) -> None:
        """End what runs: somebody has asked for that."""
        with self._turn:
            for process in self._running:
                process.send_signal(signal.SIGINT)

    def report(self) -> int:
        """Print what was kept, and a line for each stage; return the exit status."""
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
    """Run all tracks, and say what came of them."""
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
        subprocess.run(["/bin/rm", "-rf", folder], check=True)  # some folders are nested deeper than shutil can follow
    print(f"{time.monotonic() - begun_at:6.0f} s  {'failed' if status else 'passed'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
