"""Define the contenders. Each turns a workload into a command."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.workloads import REDUCERS, Workload

ROOT: Final = Path(__file__).parents[1]
Command = Callable[[Workload, Path, Path], list[str]]  # (workload, folder of the input, output) → the command


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that runs workloads: those in ``runs``, or all if it is empty."""

    name: str
    command: Command
    runs: tuple[str, ...] = ()
    checked: bool = True
    ours: bool = True  # check the number and order of its parts; for other engines, only the lines
    environment: tuple[tuple[str, str], ...] = ()

    def takes_part(self, workload: Workload) -> bool:
        return not self.runs or workload.name in self.runs


def _limit_fn(workload: Workload, folder: Path, output: Path) -> list[str]:
    files = sorted(map(str, folder.iterdir()))
    return [
        sys.executable,
        "-m",
        "benchmarks.limit_fn",
        workload.job,
        str(workload.reducers or REDUCERS),
        str(output),
        *files,
    ]


def _s3mr(workload: Workload, folder: Path, output: Path) -> list[str]:
    command = str(Path(sys.executable).with_name("s3mr"))
    reducers = [] if workload.reducers is None else ["--reducers", str(workload.reducers)]
    job = str(ROOT / "benchmarks" / "jobs" / f"{workload.job}.py")
    return [command, "run", job, str(folder), "--output", str(output), *reducers, *workload.options]


def _s3mr_with(job: str) -> Command:
    return lambda workload, folder, output: _s3mr(replace(workload, job=job), folder, output)


def _bare_moto(_workload: Workload, _folder: Path, _output: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.bare_moto"]


LIMIT_FN: Final = Contender("limit_fn", _limit_fn, environment=(("PYTHONPATH", os.fspath(ROOT)),))
S3MR: Final = Contender("s3mr", _s3mr)
BARE_MOTO: Final = Contender("bare moto", _bare_moto, runs=("W0",), checked=False)
TOTALS: Final = Contender("s3mr, reducers.total", _s3mr_with("word_totals"), runs=("W1",))
BLOCKS: Final = Contender("s3mr, block and Counter", _s3mr_with("word_blocks"), runs=("W1",))
OURS: Final = (LIMIT_FN, S3MR, TOTALS, BLOCKS, BARE_MOTO)
