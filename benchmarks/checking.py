"""Check an output: it must have the same lines as a plain loop over the input, in sorted parts."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import xxhash

from s3mr import Job


class WrongOutputError(Exception):
    """An output is wrong. The message says how it differs."""


def digest(lines: Iterable[bytes]) -> str:
    """Return the number of lines and the sum of their hashes, which does not depend on their order."""
    count = total = 0
    for line in lines:
        count += 1
        total += xxhash.xxh3_64_intdigest(line)
    return f"{count} {total % 2**64:016x}"


def expected(job: Job, inputs: Iterable[Path], kept: Path) -> str:
    """Return the digest of the correct output, computed by a plain loop. The file ``kept`` caches it."""
    if not kept.exists():
        kept.write_text(digest(_sequentially(job, inputs)), encoding="ascii")
    return kept.read_text(encoding="ascii")


def check_lines(output: Path, wanted: str) -> None:
    """Compare the lines ``key<TAB>value`` of the files ``part-*``. Keys and values may be JSON, lines may be blank.

    Raises:
        WrongOutputError: the lines differ.
    """
    lines = (line for path in _parts(output) for line in _lines(path) if line)
    got = digest(b"\t".join(map(_plain, line.split(b"\t"))) for line in lines)
    if got != wanted:
        raise WrongOutputError(f"{output} has (lines, sum of hashes) {got}, not {wanted}")


def check(output: Path, wanted: str, *, parts: int | None, is_sorted: bool) -> None:
    """Compare the files ``part-*`` in ``output``, which have lines ``key<TAB>value``.

    Raises:
        WrongOutputError: the lines or the number of parts differ, or a part that must be sorted is not.
    """
    found = _parts(output)
    if parts is not None and len(found) != parts:
        raise WrongOutputError(f"{output} has {len(found)} parts, not {parts}")
    got = digest(line for path in found for line in _lines(path))
    if got != wanted:
        raise WrongOutputError(f"{output} has (lines, sum of hashes) {got}, not {wanted}")
    if is_sorted:
        for path in found:
            keys = [line.partition(b"\t")[0] for line in _lines(path)]
            if keys != sorted(keys):
                raise WrongOutputError(f"{path} is not sorted by key")


def _parts(output: Path) -> list[Path]:
    return sorted(output.glob("part-*"))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def _plain(item: bytes) -> bytes:
    return _text(json.loads(item)).encode() if item.startswith((b'"', b"[")) else item


def _sequentially(job: Job, inputs: Iterable[Path]) -> Iterator[bytes]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for path in inputs:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                for key, value in job.map(str(path), line.rstrip("\n")):
                    groups[key].append(value)
    for key, values in groups.items():
        for pair in job.reduce(key, iter(values)) if job.reduce else ():
            yield "\t".join(map(_text, pair)).encode()


def _text(item: object) -> str:
    return item if type(item) is str else json.dumps(item, separators=(",", ":"))
