"""Verifying an output from its objects: a committed output passes, and any later change is reported."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3mr import limits
from s3mr.adapters.memory.memory_data import MemoryFolder, MemoryPublished
from s3mr.adapters.system import InTurn, Threads
from s3mr.api import Job
from s3mr.errors import RequestError
from s3mr.model.job import Phase
from s3mr.model.success import Success, Totals
from s3mr.model.verification_result import Proof
from s3mr.verification import DIFFERENCES_MAX, Expected, verify
from tests.world import World

TEXT = {"a.txt": b"the quick brown fox\njumps over\nthe lazy dog\n", "b.txt": b"the end\n\nof the fox"}
PART = "part-00001"


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield word, sum(counts)


def committed(job: Job | None = None, inputs: dict[str, bytes] | None = None, **options: Any) -> World:
    world = World(job or Job(map=words, reduce=total), TEXT if inputs is None else inputs)
    world.submit(**options)
    assert world.finish().phase is Phase.SUCCEEDED
    return world


@pytest.fixture
def world() -> World:
    return committed()


@pytest.fixture
def folder(world: World) -> MemoryFolder:
    return world.folder


def proof(folder: MemoryFolder, expected: Expected | None = None) -> Proof:
    return verify(MemoryPublished(folder), InTurn(), expected=expected)


def differences(folder: MemoryFolder, expected: Expected | None = None) -> list[tuple[str, str]]:
    """Return the names and kinds of all differences, of which there is at least one."""
    found = proof(folder, expected)
    assert not found.proven
    assert found.differences_count == len(found.differences)
    return [(one.name, one.what) for one in found.differences]


def record_of(world: World, **changed: Any) -> Expected:
    job = world.state()
    known = {"job_id": job.spec.job_id, "totals": Totals.of(job.counters), "parts": job.spec.reducers}
    return Expected(**{**known, **changed})


def rewrite(folder: MemoryFolder, change: Callable[[Any], object]) -> None:
    """Edit ``_SUCCESS``."""
    read = json.loads(folder.objects["_SUCCESS"])
    change(read)
    folder.objects["_SUCCESS"] = json.dumps(read).encode()


def test_a_committed_output_is_verified_by_reading_it(world: World) -> None:
    found = proof(world.folder, record_of(world))
    assert found.proven
    assert (found.differences, found.job_id) == ((), world.job_id)
    lines = world.output().splitlines(keepends=True)
    assert (found.parts, found.records, found.size_bytes) == (3, len(lines), sum(map(len, lines)))


def test_parts_are_read_by_several_threads_and_every_byte_is_counted(folder: MemoryFolder) -> None:
    counts: list[int] = []
    started: list[Success] = []
    found = verify(MemoryPublished(folder), Threads(threads_max=4), begin=started.append, read=counts.append)
    assert found.proven
    assert sum(counts) == found.size_bytes == sum(part.size_bytes for part in started[0].parts)


def test_a_flipped_bit_is_named_by_its_part_and_checksum(folder: MemoryFolder) -> None:
    data = folder.objects[PART]
    folder.objects[PART] = bytes([data[0] ^ 1]) + data[1:]
    (one,) = proof(folder).differences
    assert (one.name, one.what) == (PART, "crc32c")
    assert one.expected != one.found


def test_a_part_that_is_cut_differs_in_size_records_and_checksum(folder: MemoryFolder) -> None:
    folder.objects[PART] = folder.objects[PART][:-1]
    assert differences(folder) == [(PART, "size_bytes"), (PART, "records"), (PART, "crc32c")]


def test_a_missing_part_is_named_and_the_others_are_still_read(folder: MemoryFolder) -> None:
    del folder.objects["part-00000"]
    data = folder.objects[PART]
    folder.objects[PART] = data.swapcase()
    assert differences(folder) == [("part-00000", "existence"), (PART, "crc32c")]
    assert proof(folder).parts == 2


@pytest.mark.parametrize("name", ["part-00003", "part-1", "notes.txt", "deeper/part-00000", "\x1b[2J"])
def test_an_object_that_success_does_not_list_is_a_difference(folder: MemoryFolder, name: str) -> None:
    folder.objects[name] = b"x\n"
    ((name_shown, what),) = differences(folder)
    assert what == "existence"
    assert name_shown.isprintable()


@pytest.mark.parametrize("name", ["_temporary/x", ".DS_Store", "_SUCCESS.bak"])
def test_names_that_a_job_would_skip_are_ignored(folder: MemoryFolder, name: str) -> None:
    folder.objects[name] = b"x\n"
    assert proof(folder).proven


def test_a_part_that_vanishes_while_it_is_read_is_a_difference(folder: MemoryFolder) -> None:
    big = b"x" * (2 * limits.MIB - 1) + b"\n"
    folder.objects[PART] = big

    def read(count_bytes: int) -> None:
        if count_bytes == limits.MIB:
            del folder.objects[PART]

    found = verify(MemoryPublished(folder), InTurn(), read=read)
    named = {one.name: one for one in found.differences}
    assert named[PART].what == "existence"
    assert "while it was read" in str(named[PART].found)


def test_an_output_without_success_is_not_committed(folder: MemoryFolder) -> None:
    del folder.objects["_SUCCESS"]
    with pytest.raises(RequestError, match="not committed: there is no _SUCCESS in memory"):
        proof(folder)


def test_a_succeeded_job_without_success_file_is_a_difference(world: World) -> None:
    del world.folder.objects["_SUCCESS"]
    assert differences(world.folder, record_of(world)) == [("_SUCCESS", "existence")]


@pytest.mark.parametrize(
    "change",
    [
        lambda read: read.update(more=1),
        lambda read: read.pop("parts"),
        lambda read: read["parts"].reverse(),
        lambda read: read["parts"][1].update(name="../part-00001"),
        lambda read: read["parts"][1].update(name="part-00000"),
        lambda read: read["parts"][1].update(size_bytes="5"),
        lambda read: read["parts"][1].update(records=1.0),
        lambda read: read["parts"][1].update(size_bytes=-1),
        lambda read: read["parts"][1].update(crc32c="0x123456"),
        lambda read: read["counters"].pop("records_out"),
        lambda read: read.update(job_id="../../etc"),
    ],
)
def test_a_success_that_s3mr_would_not_write_is_a_difference(
    folder: MemoryFolder, change: Callable[[Any], object]
) -> None:
    rewrite(folder, change)
    assert differences(folder) == [("_SUCCESS", "content")]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_success_that_is_not_json_is_a_difference(folder: MemoryFolder, content: bytes) -> None:
    folder.objects["_SUCCESS"] = content
    assert differences(folder) == [("_SUCCESS", "content")]


def test_a_huge_success_file_is_read_only_up_to_a_limit(folder: MemoryFolder) -> None:
    folder.objects["_SUCCESS"] += b" " * limits.SUCCESS_BYTES_MAX
    (one,) = proof(folder).differences
    assert f"more than {limits.SUCCESS_BYTES_MAX} bytes" in str(one.found)


def test_totals_that_differ_from_the_sums_of_the_parts_are_a_difference(folder: MemoryFolder) -> None:
    rewrite(folder, lambda read: read["counters"].update(records_out=1, bytes_out=2))
    assert differences(folder) == [("_SUCCESS", "records_out"), ("_SUCCESS", "bytes_out")]


def test_a_completely_forged_output_is_caught_by_the_record_of_the_job(world: World) -> None:
    other = committed(inputs={"a.txt": b"other words altogether\n"})
    assert proof(other.folder).proven
    found = differences(other.folder, record_of(world, job_id="another-one"))
    assert ("_SUCCESS", "job_id") in found
    assert ("_SUCCESS", "bytes_in") in found
    assert ("_SUCCESS", "parts") in differences(world.folder, record_of(world, parts=4))


def test_empty_parts_and_an_output_without_parts_are_verified() -> None:
    assert proof(committed(inputs={"a.txt": b""}).folder).proven
    none = committed(Job(map=words), inputs={"a.txt": b""})
    found = proof(none.folder)
    assert (found.proven, found.records, found.size_bytes) == (True, 0, 0)


def test_differences_are_listed_up_to_a_limit_and_counted_beyond(folder: MemoryFolder) -> None:
    for number in range(2 * DIFFERENCES_MAX):
        folder.objects[f"stray-{number}"] = b""
    found = proof(folder)
    assert (len(found.differences), found.differences_count) == (DIFFERENCES_MAX, 2 * DIFFERENCES_MAX)


def test_success_is_read_back_unchanged(world: World) -> None:
    encoded = world.folder.objects["_SUCCESS"]
    read = Success.decode(encoded)
    assert read.encode() == encoded
    assert list(json.loads(encoded)) == ["job_id", "counters", "parts"]
    assert len(encoded) < limits.SUCCESS_PART_BYTES * len(read.parts) + 64 * limits.KIB


def test_the_largest_possible_part_fits_the_planned_space_in_success() -> None:
    part = {"name": "part-99999", "size_bytes": 50 * 2**40, "records": 2**45, "crc32c": "ffffffff"}
    assert len(json.dumps([part], indent=1)) + 8 < limits.SUCCESS_PART_BYTES
