"""The expected output of a job: the same computation in a few lines that share only hashing and formatting."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from s3mr.formats.output_lines import format_pair
from s3mr.model import object_names
from s3mr.shuffle.partitioning import stable_hash
from s3mr.worker.user_functions import Functions
from tests.simulation.scenario import Scenario

POISON = "k0"  # the key on which a poisoned function raises
MIXED = "in/0"  # the object whose keys are numbers, in a job with mixed keys


def emit(_source: str, line: str) -> Iterator[tuple[str, int]]:
    """Map each line to its key and length."""
    if line:
        yield line, len(line)


def total(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield key, sum(values)


def tag(source: str, line: str) -> Iterator[tuple[str, str]]:
    """Map for a job whose reduce shows the order of its values."""
    if line:
        yield line, source[-1]


def join(key: str, values: Iterator[str]) -> Iterator[tuple[str, str]]:
    yield key, "".join(values)


def number(source: str, line: str) -> Iterator[tuple[Any, int]]:
    """Map for a job whose keys have two types."""
    if line:
        yield (int(line[1:]) if source == MIXED else line), len(line)


def by_hash(key: Any, reducers: int) -> int:
    """Partition for a job with its own partition function."""
    return stable_hash(key) % reducers


def functions(scenario: Scenario) -> Functions:
    """Return the functions of the scenario's job, without faults."""
    if scenario.map_only:
        return Functions(map=emit)
    partition = by_hash if scenario.own_partition else None
    if scenario.mixed:
        return Functions(map=number, reduce=total, partition=partition)
    if scenario.combining == "join":
        return Functions(map=tag, reduce=join, partition=partition)
    combine = total if scenario.combining == "sum-combined" else None
    return Functions(map=emit, reduce=total, combine=combine, partition=partition)


def expected(scenario: Scenario, sources: dict[str, bytes]) -> dict[str, bytes] | bytes | None:
    """Return the content of each part, or of all parts in sequence for a job without reduce.

    None: the job must fail, because its keys have two types.
    """
    job = functions(scenario)
    records = [(source, line) for source in sorted(sources) for line in _lines(sources[source])]
    pairs: list[tuple[Any, Any]] = [pair for source, line in records for pair in job.map(source, line)]
    if job.reduce is None:
        return b"".join(format_pair(*pair) for pair in pairs)
    if len({type(key) for key, _ in pairs}) > 1:
        return None
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    parts = {object_names.part(number): b"" for number in range(scenario.reducers)}
    for key in sorted(groups):
        for pair in job.reduce(key, iter(groups[key])):
            parts[object_names.part(by_hash(key, scenario.reducers))] += format_pair(*pair)
    return parts


def records_in(sources: dict[str, bytes]) -> int:
    """Return the number of records in the inputs."""
    return sum(len(_lines(content)) for content in sources.values())


def _lines(content: bytes) -> list[str]:
    return content.decode().removesuffix("\n").split("\n") if content else []
