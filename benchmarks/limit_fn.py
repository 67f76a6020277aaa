"""The floor: what two processes need that call the same functions for the same records, and do nothing else.

    python -m benchmarks.limit_fn JOB PARTS OUTPUT INPUT...

Local files in and out; no service, nothing durable, nothing checked, no limit to memory, no second try. Each input
file is one task: its pairs are gathered by key, combined, cut in PARTS by a hash of the key, and written with
`marshal`. Then each part is read, sorted, reduced and written. JOB is the name of a module below ``benchmarks.jobs``.
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
    """What all tasks of a run share; a process imports the job by its name."""

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
            pairs += marshal.loads(Path(f"{self.folder}/{number}-{part}").read_bytes())  # noqa: S302 - our own
        pairs.sort(key=itemgetter(0))
        with Path(f"{self.output}/part-{part:05}").open("w", encoding="utf-8") as written:
            for key, same in groupby(pairs, key=itemgetter(0)):
                reduced = reduce(key, map(itemgetter(1), same))
                written.writelines(f"{_text(name)}\t{_text(value)}\n" for name, value in reduced)


def _job(name: str) -> Any:  # noqa: ANN401 - a Job whose functions are all there
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
