"""Run the workloads on dask.bag, with its default scheduler, which uses processes.

python -m benchmarks.peers.on_dask JOB OUTPUT INPUT...
"""

import json
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dask  # type: ignore[import-not-found] # only in the environment of the peers
from dask import bag

KEY_LENGTH = 10
PARTS = 8


def word_count(inputs: list[str]) -> bag.Bag:
    return bag.read_text(inputs).str.split().flatten().frequencies()


def log_totals(inputs: list[str]) -> bag.Bag:
    entries = bag.read_text(inputs).map(json.loads)
    return entries.foldby(url_and_status, add_entry, (0, 0), add_totals, (0, 0))


def shuffle(inputs: list[str]) -> bag.Bag:
    parts = bag.read_text(inputs).map(key_and_value).groupby(part_of, npartitions=PARTS)
    return parts.map(sorted_pairs).flatten()


def url_and_status(entry: dict[str, Any]) -> tuple[str, int]:
    return entry["url"], entry["status"]


def add_entry(totals: tuple[int, int], entry: dict[str, Any]) -> tuple[int, int]:
    return totals[0] + 1, totals[1] + entry["bytes"]


def add_totals(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def key_and_value(line: str) -> tuple[str, str]:
    return line[:KEY_LENGTH], line[KEY_LENGTH:].rstrip("\n")


def part_of(pair: tuple[str, str]) -> int:
    return zlib.crc32(pair[0].encode()) % PARTS


def sorted_pairs(part: tuple[int, Iterable[tuple[str, str]]]) -> list[tuple[str, str]]:
    return sorted(part[1])


def as_line(pair: tuple[Any, Any]) -> str:
    return "\t".join(one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in pair)


def main() -> None:
    """Run one job."""
    job, output, *inputs = sys.argv[1:]
    Path(output).mkdir()
    jobs = {"word_count": word_count, "log_totals": log_totals, "shuffle": shuffle}
    with dask.config.set(num_workers=2):
        jobs[job](inputs).map(as_line).to_textfiles(f"{output}/part-*", last_endline=True)


if __name__ == "__main__":
    main()
