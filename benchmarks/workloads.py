"""Define the workloads: each has a job, an input, and a check of its output."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import inputs
from benchmarks.checking import check, check_lines, expected
from s3mr import Job

BUILD: Final = Path(__file__).parents[1] / "build" / "benchmarks"
REDUCERS: Final = 8


@dataclass(frozen=True, slots=True)
class Workload:
    """One job over one input."""

    name: str
    title: str
    job: str  # the name of a module below benchmarks.jobs
    make: inputs.Make
    reducers: int | None = REDUCERS
    sorted_parts: bool = False
    options: tuple[str, ...] = ()  # of s3mr run

    def folder(self, scale: float) -> Path:
        """Return the folder of the input, and make it if it does not exist."""
        return inputs.made(self.make.__name__, self.make, scale=scale, below=BUILD / "inputs")

    def check(self, output: Path, scale: float, *, strictly: bool) -> None:
        """Compare an output with that of a plain loop. With ``strictly``, check the number and order of parts, too.

        Raises:
            WrongOutputError: the output differs.
        """
        job: Job = importlib.import_module(f"benchmarks.jobs.{self.job}").job
        folder = self.folder(scale)
        kept = folder.with_name(f"{folder.name}.{self.job}.expected")
        wanted = expected(job, sorted(folder.iterdir()), kept)
        if strictly:
            check(output, wanted, parts=self.reducers, is_sorted=self.sorted_parts)
        else:
            check_lines(output, wanted)


WORKLOADS: Final = (
    Workload("W0", "word count of one line", "word_count", inputs.tiny, reducers=None),
    Workload("W1", "word count of 256 MiB of text in 8 files", "word_count", inputs.text),
    Workload("W2", "hits and bytes by URL and status of 1 M JSON lines", "log_totals", inputs.log),
    Workload("W3", "shuffle of 2 M records of 100 bytes", "shuffle", inputs.records, sorted_parts=True),
    Workload("W4", "word count of 500 files of 1 KiB", "word_count", inputs.small_files),
    Workload(
        "W4t", "W4, a map task a file, 1 reducer", "word_count", inputs.small_files, 1, options=("--split-size", "1KiB")
    ),
)
