"""Inputs designed to exhaust memory give a correct result or a clear error, and workers stay within their bound.

A worker uses at most --memory, plus 100 MB for Python and s3mr, plus three times its largest record.
"""

import gzip
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s3mr import limits
from tests.integration.conftest import RUN_S_MAX
from tests.slow import SLOW, slow
from tests.warm_commands import S3MR

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")

Write = Callable[..., Path]

OWN_BYTES = 100 * 1000**2
JOBS = """
    import random

    def length(source, line):
        yield "length", len(line)

    def itself(source, line):
        yield "line", line

    def lengths(key, values):
        for value in values:
            yield key, len(value)

    def total(key, values):
        yield key, sum(values)

    def values(source, line):
        for number in range(6):
            yield number % 3, random.Random(number).randbytes(5_000_000).hex()

    def numbered(source, line):
        start, stop = map(int, line.split())
        for number in range(start, stop):
            yield f"key {number:09}", number

    measured = Job(map=length, reduce=total)
    passed_on = Job(map=itself, reduce=lengths)
    large = Job(map=values, reduce=lengths)
    distinct = Job(map=numbered, reduce=total)
"""


def run(folder: Path, *arguments: str, memory: str) -> tuple[int, str, str, int]:
    """Run the command; return its status, stdout, stderr and the peak memory of its workers."""
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        started = [str(S3MR), "run", *arguments, "--quiet", "--workers", "1", "--memory", memory]
        command = subprocess.Popen(started, cwd=folder, stdout=out, stderr=err)
        peak_bytes, until = 0, time.monotonic() + (RUN_S_MAX if not SLOW else 20 * RUN_S_MAX)
        while command.poll() is None and time.monotonic() < until:
            peak_bytes = max([peak_bytes, *map(peak_of, workers_below(command.pid))])
            time.sleep(0.01)
        command.kill()
        return command.wait(), (folder / "out").read_text(), (folder / "err").read_text(), peak_bytes


def workers_below(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in map(int, children.read_text().split()):
                is_worker = Path(f"/proc/{child}/comm").read_text() == "s3mr-worker\n"
                yield from (child,) if is_worker else workers_below(child)
        except OSError:
            continue  # the process has ended


def peak_of(pid: int) -> int:
    """The peak memory of a process, as the kernel records it; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def bomb(path: Path, unit: bytes, times: int) -> str:
    with gzip.open(path, "wb") as file:
        for _ in range(times):
            file.write(unit)
    return path.name


def test_a_line_of_a_hundred_megabytes_is_processed_with_default_memory(tmp_path: Path, job_file: Write) -> None:
    job_file(JOBS)
    (tmp_path / "line.txt").write_bytes(b"x" * 100_000_000 + b"\n")
    status, out, err, peak_bytes = run(tmp_path, "job.py:passed_on", "line.txt", memory="512MiB")
    assert (status, out) == (0, "line\t100000000\n"), err
    assert 100_000_000 < peak_bytes < limits.MEMORY_BYTES + OWN_BYTES + 3 * 100_000_000


def test_a_line_of_a_hundred_megabytes_is_refused_by_workers_with_little_memory(
    tmp_path: Path, job_file: Write
) -> None:
    job_file(JOBS)
    (tmp_path / "line.txt").write_bytes(b"short\n" + b"x" * 100_000_000)
    status, out, err, peak_bytes = run(tmp_path, "job.py:passed_on", "line.txt", memory="16MiB")
    assert (status, out) == (1, "")
    assert "attempt 1: a record of more than 4MiB in line.txt, at about byte " in err
    assert err.endswith("raise --memory (a record may take a quarter of it)\n")
    assert 0 < peak_bytes < 16 * limits.MIB + OWN_BYTES


def test_a_gzip_that_grows_into_one_record_is_refused_within_the_memory_bound(tmp_path: Path, job_file: Write) -> None:
    job_file(JOBS)
    name = bomb(tmp_path / "bomb.gz", bytes(10**6), 10_000 if SLOW else 60)
    status, out, err, peak_bytes = run(tmp_path, "job.py:measured", name, memory="16MiB")
    assert (status, out) == (1, "")
    assert "a record of more than 4MiB in bomb.gz, at about byte 0 of its decompressed content" in err
    assert 0 < peak_bytes < 16 * limits.MIB + OWN_BYTES


def test_values_of_ten_megabytes_cross_the_shuffle_within_the_memory_bound(tmp_path: Path, job_file: Write) -> None:
    job_file(JOBS)
    (tmp_path / "one.txt").write_text("x\n")
    status, out, err, peak_bytes = run(tmp_path, "job.py:large", "one.txt", memory="48MiB")
    assert status == 0, err
    assert sorted(out.splitlines()) == sorted(f"{number % 3}\t10000000" for number in range(6))
    assert 0 < peak_bytes < 48 * limits.MIB + OWN_BYTES + 3 * 10_000_000


def test_distinct_keys_cross_the_shuffle_within_the_memory_bound(tmp_path: Path, job_file: Write) -> None:
    count = 1_000_000 if SLOW else 100_000
    job_file(JOBS)
    ranges = (f"{start} {start + count // 4}\n" for start in range(0, count, count // 4))
    (tmp_path / "ranges.txt").write_text("".join(ranges))
    status, out, err, peak_bytes = run(tmp_path, "job.py:distinct", "ranges.txt", memory="16MiB")
    assert status == 0, err
    assert sorted(out.splitlines()) == [f"key {number:09}\t{number}" for number in range(count)]
    assert 0 < peak_bytes < 16 * limits.MIB + OWN_BYTES


@slow
def test_a_gzip_that_grows_into_ten_gigabytes_of_lines_is_read_within_the_memory_bound(
    tmp_path: Path, job_file: Write
) -> None:
    job_file(JOBS)
    name = bomb(tmp_path / "bomb.gz", (b"x" * 9_999 + b"\n") * 100, 10_000)
    status, out, err, peak_bytes = run(tmp_path, "job.py:measured", name, "--task-timeout", "3000", memory="16MiB")
    assert (status, out) == (0, f"length\t{9_999 * 10**6}\n"), err
    assert 0 < peak_bytes < 16 * limits.MIB + OWN_BYTES
