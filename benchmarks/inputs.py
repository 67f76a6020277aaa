"""Make the inputs of the workloads. They come from a seed, are the same on every machine, and are kept in ``build/``.

Text is ASCII, in lines of twelve words. The frequency of words follows Zipf's law: the k-th most common word has a
share proportional to 1/k.
"""

# ruff: noqa: S311 - the random numbers make inputs, not secrets

import json
import math
import os
import shutil
import string
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

SEED: Final = 5
MIB: Final = 1024 * 1024

VOCABULARY: Final = 200_000
LINE_WORDS: Final = 12
URLS: Final = 5_000
STATUSES: Final = (200, 200, 200, 200, 200, 200, 304, 404, 500, 301)
METHODS: Final = ("GET", "GET", "GET", "POST", "HEAD")
AGENTS: Final = ("Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "Googlebot/2.1")
RECORD_LENGTH: Final = 100  # 10 of them are the key


Make = Callable[[Path, float], None]  # (folder, scale): fills the folder


def tiny(folder: Path, _scale: float) -> None:
    """W0: one line."""
    (folder / "tiny.txt").write_text("to be or not to be\n", encoding="ascii")


def text(folder: Path, scale: float) -> None:
    """W1: 256 MiB of text in 8 files."""
    random, words = Random(SEED), _vocabulary()
    for number in range(8):
        _write(folder / f"text-{number}.txt", _lines(random, words), round(32 * MIB * scale))


def log(folder: Path, scale: float) -> None:
    """W2: 1,000,000 requests to a web server as JSON lines, in 8 files."""
    random = Random(SEED)
    paths = [f"/{_letters(random, 6)}/{_letters(random, 12)}.html" for _ in range(URLS)]
    for number in range(8):
        with (folder / f"log-{number}.jsonl").open("w", encoding="ascii") as file:
            for entry in range(round(125_000 * scale)):
                file.write(json.dumps(_request(random, paths, entry)) + "\n")


def records(folder: Path, scale: float) -> None:
    """W3: 2,000,000 records as lines of 100 characters, in 8 files. All differ, and they hardly compress."""
    random = Random(SEED)
    for number in range(8):
        with (folder / f"records-{number}.txt").open("w", encoding="ascii") as file:
            for _ in range(round(250_000 * scale)):
                file.write(b2a_base64(random.randbytes(RECORD_LENGTH * 3 // 4)).decode())  # and a newline


def small_files(folder: Path, scale: float) -> None:
    """W4: 500 files of 1 KiB of text."""
    random, words = Random(SEED), _vocabulary()
    lines = _lines(random, words)
    for number in range(max(round(500 * scale), 1)):
        _write(folder / f"small-{number:04}.txt", lines, 1024)


def made(name: str, make: Make, *, scale: float, below: Path) -> Path:
    """Return the folder of an input, and make it if it does not exist. An unfinished folder has another name."""
    folder = below / f"{name}-{scale:g}"
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
        unfinished.mkdir(parents=True)
        try:
            make(unfinished, scale)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _vocabulary() -> list[str]:
    """Return distinct words, the most common one first."""
    random = Random(SEED)
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        words[_letters(random, random.randint(2, 9))] = None
    return list(words)


def _zipf(random: Random, items: list[str]) -> Iterator[str]:
    """Yield random items without end. For n items, n to the power of a uniform number is a rank with density 1/rank."""
    count, log_count, draw, power = len(items), math.log(len(items)), random.random, math.exp
    while True:
        yield items[min(int(power(draw() * log_count)), count) - 1]


def _lines(random: Random, words: list[str]) -> Iterator[str]:
    drawn = _zipf(random, words)
    while True:
        yield " ".join(islice(drawn, LINE_WORDS)) + "\n"


def _write(path: Path, lines: Iterator[str], size_bytes: int) -> None:
    """Write lines of ``size_bytes`` in total. The last one is cut."""
    with path.open("w", encoding="ascii") as file:
        left = size_bytes
        while left > 0:
            line = next(lines)
            if len(line) > left:
                line = line[: left - 1].rstrip() + "\n"
            file.write(line)
            left -= len(line)


def _letters(random: Random, count: int) -> str:
    return "".join(random.choices(string.ascii_lowercase, k=count))


def _request(random: Random, paths: list[str], number: int) -> dict[str, str | int]:
    return {
        "time": f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "host": f"10.0.{random.randrange(256)}.{random.randrange(256)}",
        "method": random.choice(METHODS),
        "url": next(_zipf(random, paths)),
        "status": random.choice(STATUSES),
        "bytes": random.randrange(100, 50_000),
        "agent": random.choice(AGENTS),
    }
