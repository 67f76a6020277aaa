import gzip
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.formats import Batch, Format, get_format, register_format
from s3mr.formats.registry import forget_formats
from s3mr.formats.task_reader import TaskReader, splittable_by
from s3mr.model.plan import InputObject, MapTask, Split
from s3mr.policy.planning import plan_splits
from s3mr.usercode.imports import forget, import_from

TEXT, WHOLE = get_format("text"), get_format("whole")
INVALID_UTF8 = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98"]
OTHER_ENDS = [b"\x0b", b"\x0c", b"\x85", b"\x1c", "\u2028\u0085".encode()]
contents = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"bc", "ü".encode(), "😀".encode(), *INVALID_UTF8, *OTHER_ENDS])
    | st.binary(max_size=5),
    max_size=30,
).map(b"".join)


class Streams:
    """Objects by name, in blocks of a chosen size; records which ranges were read."""

    def __init__(self, objects: dict[str, bytes], *, block_bytes: int = limits.MIB) -> None:
        self.objects = objects
        self.block_bytes = block_bytes
        self.ranges: list[tuple[int, int]] = []

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        assert etag == "tag"
        assert 0 <= start < stop <= len(self.objects[source])
        self.ranges.append((start, stop))
        for at in range(start, stop, self.block_bytes):
            yield self.objects[source][at : min(at + self.block_bytes, stop)]


def lines_of(data: bytes) -> list[str]:
    """Return the expected records, computed in another way."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", data)
    return [re.sub(rb"\r?\n\Z", b"", line).decode("utf-8", "surrogateescape") for line in lines]


def plan(objects: dict[str, bytes], chosen: Format, split_size_bytes: int) -> list[MapTask]:
    found = [InputObject(source, len(data), "tag") for source, data in objects.items()]
    return list(plan_splits(found, split_size_bytes=split_size_bytes, splittable=splittable_by(chosen)))


def read_all(streams: Streams, chosen: Format, split_size_bytes: int) -> tuple[list[tuple[str, str]], int]:
    readers = [TaskReader(streams, task, chosen) for task in plan(streams.objects, chosen, split_size_bytes)]
    pairs = [(source, record) for reader in readers for source, records in reader for record in records]
    return pairs, sum(reader.consumed_bytes for reader in readers)


def read_one(data: bytes, chosen: Format = TEXT, *, source: str = "a") -> list[str]:
    return [record for _, record in read_all(Streams({source: data}), chosen, limits.MIB)[0]]


def read_split(data: bytes, start: int, stop: int) -> tuple[list[str], Streams]:
    streams = Streams({"a": data}, block_bytes=limits.MIB)
    split = Split(source="a", size_bytes=len(data), etag="tag", start=start, stop=stop)
    return [record for _, records in TaskReader(streams, MapTask(splits=(split,)), TEXT) for record in records], streams


@given(st.lists(contents, min_size=1, max_size=4), st.integers(1, 70), st.integers(1, 20))
def test_every_line_is_read_once_and_in_order_and_every_byte_is_counted_once(
    datas: list[bytes], split_size_bytes: int, block_bytes: int
) -> None:
    objects = {f"file-{number}": data for number, data in enumerate(datas)}
    pairs, consumed = read_all(Streams(objects, block_bytes=block_bytes), TEXT, split_size_bytes)
    assert pairs == [(source, line) for source, data in objects.items() for line in lines_of(data)]
    assert consumed == sum(map(len, datas))


@given(st.lists(contents, min_size=1, max_size=4), st.integers(1, 70), st.integers(1, 20))
def test_blocks_hold_the_same_lines_whole(datas: list[bytes], split_size_bytes: int, block_bytes: int) -> None:
    objects = {f"file-{number}": data for number, data in enumerate(datas)}
    pairs, consumed = read_all(Streams(objects, block_bytes=block_bytes), get_format("block"), split_size_bytes)
    for source, data in objects.items():
        blocks = [block for origin, block in pairs if origin == source]
        assert [line for block in blocks for line in block.removesuffix("\n").split("\n")] == lines_of(data)
        assert all(block.endswith("\n") for block in blocks[:-1])
        assert "" not in blocks
    assert consumed == sum(map(len, datas))


def test_a_line_that_the_text_format_can_read_is_not_too_large_for_blocks() -> None:
    data = b"short\n" * (650 * limits.KIB) + b"x" * (3 * limits.MIB) + b"\n"
    for name in ("text", "block"):
        task = MapTask(splits=(Split(source="a", size_bytes=len(data), etag="tag", start=0, stop=len(data)),))
        reader = TaskReader(Streams({"a": data}), task, get_format(name), record_bytes_max=4 * limits.MIB)
        assert sum(record.count("x") for _, records in reader for record in records) == 3 * limits.MIB


@given(st.lists(contents, min_size=1, max_size=3), st.integers(1, 20))
def test_whole_objects_are_one_record_each_even_if_empty(datas: list[bytes], block_bytes: int) -> None:
    objects = {f"file-{number}": data for number, data in enumerate(datas)}
    pairs, consumed = read_all(Streams(objects, block_bytes=block_bytes), WHOLE, 1)
    assert [record.encode("utf-8", "surrogateescape") for _, record in pairs] == datas
    assert consumed == sum(map(len, datas))


@given(st.lists(contents, max_size=4), st.integers(0, 3), st.integers(1, 20), st.sampled_from(["text", "whole"]))
def test_gzip_with_any_number_of_members_reads_as_its_content(
    members: list[bytes], padding: int, block_bytes: int, name: str
) -> None:
    data = b"".join(map(gzip.compress, members)) + b"\0" * padding * bool(members)
    pairs, consumed = read_all(Streams({"a.gz": data}, block_bytes=block_bytes), get_format(name), 1)
    content = b"".join(members)
    expected = lines_of(content) if name == "text" else [content.decode("utf-8", "surrogateescape")]
    assert [record for _, record in pairs] == expected
    assert consumed == len(data)


def test_truncated_gzip_is_refused_unless_it_ends_between_members() -> None:
    first, second = gzip.compress(b"one\ntwo\n"), gzip.compress(b"three\n" * 50)
    data = first + second
    whole = {0: [], len(first): ["one", "two"]}
    for cut in range(len(data)):
        if cut in whole:
            assert read_one(data[:cut], source="a.gz") == whole[cut]
        else:
            with pytest.raises(RequestError, match=r"truncated or corrupt gzip: a\.gz \("):
                read_one(data[:cut], source="a.gz")


@pytest.mark.parametrize(
    "data", [b"plain text\n", b"\0\0", gzip.compress(b"x", mtime=0) + b"rest", b"\x1f\x8b\x08" + b"z" * 30]
)
def test_data_that_is_not_gzip_is_refused(data: bytes) -> None:
    with pytest.raises(RequestError, match="truncated or corrupt gzip"):
        read_one(data, source="a.gz")


def test_a_damaged_gzip_is_refused() -> None:
    data = bytearray(gzip.compress(b"some content that is long enough\n" * 20))
    data[-6] ^= 1  # of the checksum
    with pytest.raises(RequestError, match="truncated or corrupt gzip"):
        read_one(bytes(data), source="a.gz")


def test_a_gzip_that_expands_a_thousandfold_is_read_in_small_blocks() -> None:
    seen: list[int] = []

    class Sizes:
        name = "sizes"

        def records(self, blocks: Iterator[bytes]) -> Iterator[Batch]:
            seen.extend(map(len, blocks))
            return iter(())

    read_one(gzip.compress(bytes(20 * limits.MIB)), Sizes(), source="a.gz")  # type: ignore[arg-type]
    assert sum(seen) == 20 * limits.MIB
    assert max(seen) <= limits.MIB


def test_empty_objects_are_not_read() -> None:
    for source, chosen, expected in (("a", TEXT, []), ("a.gz", TEXT, []), ("a", WHOLE, [""]), ("a.gz", WHOLE, [""])):
        streams = Streams({source: b""})
        pairs, consumed = read_all(streams, chosen, 1)
        assert [record for _, record in pairs] == expected
        assert (consumed, streams.ranges) == (0, [])


def test_only_newlines_end_a_line_and_all_other_bytes_are_kept() -> None:
    assert read_one(b"\xef\xbb\xbfa\r\n\n b \r\r\n\x0b\x0c\x85\n\xe2\x80\xa8\rlast\r") == [
        "\ufeffa",
        "",
        " b \r",
        "\x0b\x0c\udc85",
        "\u2028\rlast\r",
    ]


def test_a_line_belongs_to_the_split_in_which_it_starts() -> None:
    data = b"aaaa\nbbbb\ncccc\n"
    assert read_split(data, 0, 5)[0] == ["aaaa"]
    assert read_split(data, 0, 6)[0] == ["aaaa", "bbbb"]
    assert read_split(data, 4, 5)[0] == []
    assert read_split(data, 5, 6)[0] == ["bbbb"]
    assert read_split(data, 6, 10)[0] == []
    assert read_split(data, 6, 11)[0] == ["cccc"]


def test_a_split_without_a_line_start_reads_nothing_beyond_its_end() -> None:
    data = b"x" * 1000 + b"\nrest\n"
    records, streams = read_split(data, 100, 200)
    assert records == []
    assert streams.ranges == [(99, 200)]


def test_an_unfinished_last_line_is_read_in_growing_windows() -> None:
    data = b"x" * limits.MIB + b"\nrest\n"
    records, streams = read_split(data, 0, 10)
    assert records == ["x" * limits.MIB]
    starts = [10, 10 + 64 * limits.KIB, 10 + (64 + 256) * limits.KIB]
    assert streams.ranges == [(0, 10), (starts[0], starts[1]), (starts[1], starts[2]), (starts[2], len(data))]


def test_a_finished_last_line_reads_nothing_beyond_the_split() -> None:
    records, streams = read_split(b"aaaa\nbbbb\n", 0, 5)
    assert records == ["aaaa"]
    assert streams.ranges == [(0, 5)]


@pytest.mark.timeout(20)
def test_a_line_of_a_hundred_megabytes_takes_linear_time() -> None:
    data = b"x" * 100 * limits.MIB
    streams = Streams({"a": data}, block_bytes=64 * limits.KIB)
    pairs, consumed = read_all(streams, TEXT, 32 * limits.MIB)
    assert [len(record) for _, record in pairs] == [len(data)]
    assert consumed == len(data)


def test_a_split_of_a_source_that_cannot_be_split_raises_an_invariant_error() -> None:
    split = Split(source="a.gz", size_bytes=10, etag="tag", start=0, stop=5)
    with pytest.raises(InvariantError, match="can only be read whole"):
        list(TaskReader(Streams({"a.gz": bytes(10)}), MapTask(splits=(split,)), TEXT))


def test_text_is_splittable_unless_compressed_and_whole_never() -> None:
    assert splittable_by(TEXT)("a.txt")
    assert not splittable_by(TEXT)("a.txt.gz")
    assert not splittable_by(WHOLE)("a.txt")


def test_an_unknown_format_is_refused_with_a_list_of_formats() -> None:
    with pytest.raises(RequestError, match="there is no format 'csv': choose one of block, text, whole"):
        get_format("csv")


def test_a_users_format_is_found_by_its_name_and_cannot_replace_another() -> None:
    class Bytes:
        name = "single-bytes"

        def records(self, blocks: Iterator[bytes]) -> Iterator[Batch]:
            for block in blocks:
                yield Batch([chr(byte) for byte in block], len(block))

    class Others(Bytes):
        pass

    class Text(Bytes):
        name = "text"

    register_format(Bytes())  # type: ignore[arg-type]
    assert read_one(b"abc", get_format("single-bytes")) == ["a", "b", "c"]
    for taken in (Others(), Text()):
        with pytest.raises(RequestError, match="already exists"):
            register_format(taken)  # type: ignore[arg-type]
    forget_formats()
    register_format(Others())  # type: ignore[arg-type]
    forget_formats()
    with pytest.raises(RequestError, match="there is no format 'single-bytes'"):
        get_format("single-bytes")
    assert get_format("text") is TEXT


FORMAT = """
from s3mr.formats import Batch, register_format
class Letters:
    name = "letters"
    def records(self, blocks):
        for block in blocks:
            yield Batch([chr(byte) for byte in block], len(block))
register_format(Letters())
"""


def test_a_module_that_is_imported_again_replaces_the_format_that_it_registered(tmp_path: Path) -> None:
    (tmp_path / "its_format.py").write_text(FORMAT)
    found = []
    for _ in range(2):
        import_from(tmp_path, "its_format.py")
        found.append(get_format("letters"))
        forget(tmp_path, keep_packages=False)
    assert found[0] is not found[1]
    runpy.run_path(str(tmp_path / "its_format.py"), run_name="__main__")
    (tmp_path / "another.py").write_text(FORMAT)
    with pytest.raises(RequestError, match="already exists"):
        import_from(tmp_path, "another.py")
    forget(tmp_path, keep_packages=False)
    forget_formats()
