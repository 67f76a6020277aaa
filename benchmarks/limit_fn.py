"""The floor: two processes that call the same functions for the same records, and do nothing else.

    python -m benchmarks.limit_fn JOB PARTS OUTPUT INPUT...

It reads and writes local files, without services, durability, checks, memory limit or retries. Each input file is one
task: group its pairs by key, combine them, divide them into PARTS by a hash of the key, and write them with `marshal`.
Then read, sort, reduce and write each part. JOB is the name of a module in ``benchmarks.jobs``.
"""

import importlib
import json
import marshal
import multiprocessing
import sys
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

PROCESSES: Final = 2
Pair = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """What all tasks of a run share. Each process imports the job by its name."""

    job: str
    folder: str  # of the pieces
    output: str
    files: int
    parts: int

    def map_file(self, numbered: tuple[int, str]) -> None:
        """Write the pieces of one input file."""
        job = _job(self.job)
        number, source = numbered
        pieces: list[list[Pair]] = [[] for _ in range(self.parts)]
        with Path(source).open(encoding="utf-8", newline="\n") as lines:
            pairs = (pair for line in lines for pair in job.map(source, line.rstrip("\n")))
            for pair in _combined(job.combine, pairs) if job.combine else pairs:
                pieces[_hash(pair[0]) % self.parts].append(pair)
        for part, piece in enumerate(pieces):
            Path(f"{self.folder}/{number}-{part}").write_bytes(marshal.dumps(piece))

    def reduce_part(self, part: int) -> None:
        """Write one part of the output."""
        reduce = _job(self.job).reduce
        pairs: list[Pair] = []
        for number in range(self.files):
            pairs += marshal.loads(Path(f"{self.folder}/{number}-{part}").read_bytes())  # noqa: S302 - written by `map_file`
        pairs.sort(key=itemgetter(0))
        with Path(f"{self.output}/part-{part:05}").open("w", encoding="utf-8") as written:
            for key, same in groupby(pairs, key=itemgetter(0)):
                reduced = reduce(key, map(itemgetter(1), same))
                written.writelines(f"{_text(name)}\t{_text(value)}\n" for name, value in reduced)


def _job(name: str) -> Any:  # noqa: ANN401 - a Job without optional functions
    return importlib.import_module(f"benchmarks.jobs.{name}").job


def _combined(combine: Any, pairs: Iterator[Pair]) -> Iterator[Pair]:  # noqa: ANN401 - the user's function
    groups = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    for key, values in groups.items():
        yield from combine(key, iter(values))


def _hash(key: object) -> int:
    return zlib.crc32(key.encode() if type(key) is str else repr(key).encode())


def _text(item: object) -> object:
    return item if type(item) is str or type(item) is int else json.dumps(item, separators=(",", ":"))


def main() -> None:
    """Run the job."""
    name, parts, output, *inputs = sys.argv[1:]
    Path(output).mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=Path(output).parent) as folder, multiprocessing.Pool(PROCESSES) as pool:
        task = Task(name, folder, output, len(inputs), int(parts))
        pool.map(task.map_file, enumerate(inputs), chunksize=1)
        pool.map(task.reduce_part, range(task.parts), chunksize=1)


if __name__ == "__main__":
    main()
