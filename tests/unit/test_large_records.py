"""Records, keys and values that are too large are refused before they fill the memory, with position and advice."""

import gzip
import io
import re
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3mr import limits
from s3mr.errors import RequestError, UserCodeError
from s3mr.formats.registry import get_format
from s3mr.formats.task_reader import TaskReader
from s3mr.model.plan import MapTask, Split
from s3mr.shuffle.pair_buffer import FillError
from s3mr.shuffle.partitioning import by_hash
from s3mr.shuffle.sort_buffer import SortBuffer
from s3mr.shuffle.value_types import check_value
from tests.slow import examples

MIB = limits.MIB


class EndlessInputs:
    """Inputs that are generated as they are read: ``x`` at every byte, with newlines at given positions."""

    def __init__(self, *newlines: int) -> None:
        self._newlines = newlines
        self.read_bytes = 0

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:  # noqa: ARG002 - the port
        for at in range(start, stop, MIB):
            block = bytearray(b"x" * min(MIB, stop - at))
            for newline in self._newlines:
                if 0 <= newline - at < len(block):
                    block[newline - at] = 10
            self.read_bytes += len(block)
            yield bytes(block)


class GivenInputs:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:  # noqa: ARG002 - the port
        yield from (self._data[at : min(at + MIB, stop)] for at in range(start, stop, MIB))


def lengths(
    inputs: EndlessInputs | GivenInputs,
    *,
    size: int,
    start: int = 0,
    stop: int | None = None,
    source: str = "a.txt",
    name: str = "text",
    most: int = 4 * MIB,
) -> list[int]:
    split = Split(source=source, size_bytes=size, etag="e", start=start, stop=size if stop is None else stop)
    reader = TaskReader(inputs, MapTask(splits=(split,)), get_format(name), record_bytes_max=most)
    return [len(record) for _, records in reader for record in records]


def test_a_line_of_a_terabyte_is_refused_after_some_megabytes_with_its_source_and_position() -> None:
    inputs = EndlessInputs(5 * MIB)
    with pytest.raises(RequestError, match=r"more than 4MiB in a\.txt, at about byte 6,291,456 of it: .* --memory"):
        lengths(inputs, size=2**40)
    assert inputs.read_bytes < 14 * MIB


def test_a_line_that_begins_in_a_later_split_is_refused_with_its_position_in_the_object() -> None:
    with pytest.raises(RequestError, match=r"a\.txt, at about byte 2[012],\d{3},\d{3} of it"):
        lengths(EndlessInputs(20 * MIB), size=2**40, start=19 * MIB, stop=30 * MIB)


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(1, 4 * MIB), st.integers(0, 9 * MIB))
def test_lines_of_the_maximum_length_are_read_at_any_position(length: int, before: int) -> None:
    newlines = (before, before + length + 1, before + length + 1 + 4 * MIB)
    size = newlines[-1] + 1
    for start in (0, max(before - MIB, 0)):
        if before > 4 * MIB and not start:
            continue  # the first line itself would be too long
        found = lengths(EndlessInputs(*newlines), size=size, start=start)
        assert found[-2:] == [length, 4 * MIB - 1]


def test_a_split_without_a_line_start_is_refused_if_its_line_is_too_long() -> None:
    with pytest.raises(RequestError, match="a record of more than"):
        lengths(EndlessInputs(), size=2**40, start=MIB, stop=100 * MIB)


@pytest.mark.parametrize("name", ["text", "whole"])
def test_a_small_gzip_that_expands_to_one_record_is_refused_with_the_decompressed_position(name: str) -> None:
    data = gzip.compress(bytes(40 * MIB))
    with pytest.raises(RequestError, match=r"in a\.gz, at about byte 0 of its decompressed content"):
        lengths(GivenInputs(data), size=len(data), source="a.gz", name=name)


def test_a_small_gzip_that_expands_to_many_records_is_read() -> None:
    data = gzip.compress((b"x" * 99 + b"\n") * 400_000)
    assert lengths(GivenInputs(data), size=len(data), source="a.gz") == [99] * 400_000


def test_a_whole_object_has_the_same_limit_as_a_line() -> None:
    with pytest.raises(RequestError, match="a record of more than 4MiB"):
        lengths(EndlessInputs(), size=2**40, name="whole")
    assert lengths(EndlessInputs(), size=4 * MIB, name="whole") == [4 * MIB]


def test_a_record_of_a_hundred_megabytes_fits_the_default_memory() -> None:
    assert limits.record_bytes_max(limits.MEMORY_BYTES) > 100 * 1000**2
    assert limits.record_bytes_max(limits.MEMORY_BYTES_MIN) > 16 * limits.FRAME_BYTES_MAX - 1


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("a", "x" * 5000), "a value that takes 4.9KiB of memory, more than 1000: .*--memory"),
        (("a", [b"x" * 300] * 9), "a value that takes"),
        (("x" * 5000, 1), "a key that takes"),
        ((("x" * 5000,), 1), "a key that takes"),
    ],
)
def test_a_key_or_value_that_is_too_large_is_refused_with_its_size(pair: tuple[object, object], words: str) -> None:
    with (
        SortBuffer(
            partition=by_hash(1),
            combine=None,
            memory_bytes=10**6,
            frame_bytes=1000,
            scratch=tempfile.TemporaryFile,
            value_bytes_max=1000,
        ) as buffer,
        pytest.raises(FillError) as refused,
    ):
        buffer.fill("a.txt", [pair], lambda _source, record: [record])
    assert isinstance(refused.value.error, UserCodeError)
    assert re.search(words, str(refused.value.error))


def test_values_of_the_maximum_size_are_shuffled_in_little_more_than_their_own_memory() -> None:
    value = "x" * (1000 - check_value(""))
    with SortBuffer(
        partition=by_hash(1),
        combine=None,
        memory_bytes=4000,
        frame_bytes=500,
        scratch=io.BytesIO,
        value_bytes_max=1000,
    ) as buffer:
        buffer.fill("a.txt", range(50), lambda _source, number: [(str(number), value)])
        assert sum(len(pairs) for _, batches in buffer.partitions() for pairs in batches) == 50
