"""Run the workloads on Lithops: one call per input file, in local processes, with results in Lithops' storage.

    python -m benchmarks.peers.on_lithops local|moto JOB OUTPUT INPUT...

``local`` keeps results in files, ``moto`` in S3 at a server that it starts. Lithops has no shuffle: W0, W1, W2 and W4
have one reducer, which gets the results of all calls, and W3 stores and reads M × R objects itself.
"""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import lithops  # type: ignore[import-not-found] # only in the environment of the peers

KEY_LENGTH = 10
PARTS = 8
BUCKET = "lithops-bench"
HOST = "127.0.0.1"
START_S = 30.0
Pairs = list[tuple[Any, Any]]


def count_words(path: str) -> Counter[str]:
    return Counter(Path(path).read_text(encoding="utf-8").split())


def total_requests(path: str) -> dict[tuple[str, int], tuple[int, int]]:
    totals: dict[tuple[str, int], tuple[int, int]] = {}
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            key = entry["url"], entry["status"]
            hits, size_bytes = totals.get(key, (0, 0))
            totals[key] = hits + 1, size_bytes + entry["bytes"]
    return totals


def all_words(results: list[Counter[str]]) -> Pairs:
    counts: Counter[str] = Counter()
    for one in results:
        counts.update(one)
    return sorted(counts.items())


def all_requests(results: list[dict[tuple[str, int], tuple[int, int]]]) -> Pairs:
    totals: dict[tuple[str, int], tuple[int, int]] = {}
    for one in results:
        for key, (more_hits, more_bytes) in one.items():
            hits, size_bytes = totals.get(key, (0, 0))
            totals[key] = hits + more_hits, size_bytes + more_bytes
    return sorted(totals.items())


def store_pieces(path: str, storage: lithops.Storage) -> list[str]:
    pieces: list[list[str]] = [[] for _ in range(PARTS)]
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            pieces[sum(line[:KEY_LENGTH].encode()) % PARTS].append(line)
    names = [f"pieces/{Path(path).name}-{part}" for part in range(PARTS)]
    for name, piece in zip(names, pieces, strict=True):
        storage.put_object(BUCKET, name, "".join(piece).encode())
    return names


def merge_pieces(names: list[str], part: int, output: str, storage: lithops.Storage) -> None:
    lines = [line for name in names for line in storage.get_object(BUCKET, name).decode().splitlines()]
    lines.sort()
    text = "".join([f"{line[:KEY_LENGTH]}\t{line[KEY_LENGTH:]}\n" for line in lines])
    Path(f"{output}/part-{part}").write_text(text, encoding="utf-8")


def run(executor: lithops.FunctionExecutor, job: str, output: str, inputs: list[str]) -> None:
    if job == "shuffle":
        names = executor.get_result(executor.map(store_pieces, inputs))
        parts = [([pieces[part] for pieces in names], part, output) for part in range(PARTS)]
        executor.get_result(executor.map(merge_pieces, parts))
        return
    ways: dict[str, Any] = {"word_count": (count_words, all_words), "log_totals": (total_requests, all_requests)}
    executor.map_reduce(ways[job][0], inputs, ways[job][1])
    lines = ["\t".join(map(as_text, pair)) + "\n" for pair in executor.get_result()]
    Path(f"{output}/part-0").write_text("".join(lines), encoding="utf-8")


def as_text(item: object) -> str:
    return item if isinstance(item, str) else json.dumps(item, separators=(",", ":"))


@contextmanager
def moto() -> Iterator[dict[str, Any]]:
    """Start an S3 server, and yield the configuration for it."""
    with closing(socket.create_server((HOST, 0))) as free:
        port = free.getsockname()[1]
    url = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
    try:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with closing(socket.socket()) as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
            time.sleep(0.01)
        yield {
            "lithops": {"backend": "localhost", "storage": "minio"},
            "minio": {
                "storage_bucket": BUCKET, "endpoint": url, "access_key_id": "bench", "secret_access_key": "bench"
            },
        }  # fmt: skip
    finally:
        server.kill()
        server.wait()


@contextmanager
def local() -> Iterator[dict[str, Any]]:
    """Yield the configuration for storage in files."""
    yield {
        "lithops": {"backend": "localhost", "storage": "localhost"},
        "localhost": {"storage_bucket": BUCKET},
    }


def main() -> None:
    """Run one job."""
    way, job, output, *inputs = sys.argv[1:]
    Path(output).mkdir()
    with {"local": local, "moto": moto}[way]() as config, lithops.FunctionExecutor(config=config) as executor:
        executor.storage.create_bucket(BUCKET)
        run(executor, job, output, inputs)


if __name__ == "__main__":
    main()
