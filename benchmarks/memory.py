"""Compare the workers' peak memory with the promised limit: ``--memory`` + 100 MB + 3 × the largest record (Linux).

    python -m benchmarks.memory
    python -m benchmarks.memory --publish   write the figures of docs/performance.md (then: make docs)

It runs real jobs with real worker processes, and prints a table. It exits with 1 if a worker took more. To measure the
coordinator's load per task, run ``make scale`` (docs/scale.md).
"""

# ruff: noqa: S311 - the random numbers make inputs, not secrets

import argparse
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from benchmarks import inputs
from benchmarks.machine import machine
from benchmarks.publishing import publish
from benchmarks.watching import Seen, watch
from benchmarks.workloads import BUILD

ROOT: Final = Path(__file__).parents[1]
MIB: Final = 1024 * 1024
BESIDES_BYTES: Final = 100 * 1000**2
RECORD_COPIES: Final = 3
WORKER: Final = "s3mr-worker"
LONG_LINE_BYTES: Final = 15 * MIB


@dataclass(frozen=True, slots=True)
class Case:
    """One job that could take too much memory."""

    title: str
    job: str
    folder: Path
    memory_mib: int
    reducers: int = 8
    options: tuple[str, ...] = ()
    largest_record_bytes: int = 1024

    @property
    def allowed_bytes(self) -> int:
        return self.memory_mib * MIB + BESIDES_BYTES + RECORD_COPIES * self.largest_record_bytes

    def run(self) -> list[Seen]:
        """Run the job and return what its worker processes took."""
        output = BUILD / "output"
        shutil.rmtree(output, ignore_errors=True)
        command = str(Path(sys.executable).with_name("s3mr"))
        memory = ["--memory", f"{self.memory_mib}MiB", "--reducers", str(self.reducers)]
        job = str(ROOT / "benchmarks" / "jobs" / f"{self.job}.py")
        seen = watch(
            [command, "run", "--quiet", job, str(self.folder), "--output", str(output), *memory, *self.options]
        )
        shutil.rmtree(output)
        return [one for one in seen if one.kind == WORKER]


def cases() -> Iterator[Case]:
    """Yield the cases. The input of each is made just before."""
    text = _input(inputs.text)
    yield Case("256 MiB of text, 200,000 distinct words", "word_count", text, 64)
    records = _input(inputs.records)
    yield Case("a partition of more than 10 × the budget", "shuffle", records, 64, reducers=1)
    yield Case("the same in the least memory", "shuffle", records, 16, reducers=1)
    million = inputs.made("records", inputs.records, scale=0.5, below=BUILD / "inputs")
    yield Case("1,000,000 distinct keys", "summary", million, 32, reducers=1)
    yield Case("one key with 2,000,000 values", "summary", records, 32, options=("--param", "giant=yes"))
    yield Case("lines of 15 MiB", "shuffle", _input(long_lines), 64, largest_record_bytes=LONG_LINE_BYTES)


def long_lines(folder: Path, _scale: float) -> None:
    """Write 8 lines of 15 MiB, each to its own file."""
    random = Random(inputs.SEED)
    for number in range(8):
        line = random.randbytes(LONG_LINE_BYTES // 2).hex()
        (folder / f"long-{number}.txt").write_text(line + "\n", encoding="ascii")


def main() -> int:
    """Measure, print, and return 1 if a worker took more than allowed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description="Measure the workers' peak memory."
    )
    parser.add_argument("--publish", action="store_true", help="also write the file that the documents show")
    asked = parser.parse_args()
    status, rows = 0, []
    print("| case | --memory | allowed | largest worker |\n| --- | ---: | ---: | ---: |")
    for case in cases():
        peak_bytes = max(one.peak_bytes for one in case.run())
        beyond = peak_bytes > case.allowed_bytes
        status |= beyond
        rows.append(
            {
                "title": case.title,
                "memory_mib": case.memory_mib,
                "allowed_mib": round(case.allowed_bytes / MIB),
                "largest_mib": round(peak_bytes / MIB),
            }
        )
        print(
            f"| {case.title} | {case.memory_mib} MiB | {case.allowed_bytes / MIB:.0f} MiB "
            f"| {peak_bytes / MIB:.0f} MiB{' (too much)' if beyond else ''} |",
            flush=True,
        )
    if asked.publish:
        print(f"published: {publish('memory', rows, machine=machine())}")
    return status


def _input(make: inputs.Make) -> Path:
    return inputs.made(make.__name__, make, scale=1, below=BUILD / "inputs")


if __name__ == "__main__":
    sys.exit(main())
