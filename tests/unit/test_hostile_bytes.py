"""Bytes from a bucket, with any change, decode to what was written or raise an invariant error."""

import io
import re
import struct
import tracemalloc
from collections.abc import Sequence
from typing import Any

import google_crc32c
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3mr import limits
from s3mr.errors import InvariantError, UserCodeError
from s3mr.model.manifest import Piece, pack_pieces
from s3mr.model.plan import MapTask, Pointer, Split
from s3mr.model.plan_codec import POINTER_BYTES, decode_map_task, decode_plan, decode_pointer, encode_plan
from s3mr.shuffle.codec import Encoder, decode
from s3mr.shuffle.frames import PAIR_BYTES, Frame, read_run, write_run
from s3mr.shuffle.shuffle_index import PieceEntry, decode_column, encode_segment
from s3mr.shuffle.value_types import check_value
from tests.slow import examples

HEADER = struct.Struct("<IIIIIII")
leaves = st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.binary(max_size=9)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner), max_leaves=5)
runs = st.dictionaries(st.text(max_size=5), st.lists(values, min_size=1, max_size=9), min_size=1, max_size=9)


def written(groups: dict[str, list[Any]]) -> bytes:
    file = io.BytesIO()
    write_run(([(key, value) for value in groups[key]] for key in sorted(groups)), file.write, frame_bytes=600)
    return file.getvalue()


def frames_in(data: bytes) -> list[bytes]:
    """Split a run at the borders of its frames."""
    found = []
    while data:
        stop = HEADER.size + HEADER.unpack_from(data)[0]
        found.append(data[:stop])
        data = data[stop:]
    return found


def frames_read(data: bytes) -> list[Frame]:
    """Return all frames, or an empty list if any is invalid."""
    found = []
    try:
        found += list(read_run([data]))
    except InvariantError:
        return []
    return found


def forged(
    content: bytes, *, groups: int = 1, records: int = 1, promised: int | None = None, memory_bytes: int = 2**32 - 1
) -> bytes:
    """Return a frame with correct checksums, which an attacker needs our code to write."""
    body = zstandard.ZstdCompressor().compress(content)
    lengths = len(body), len(content) if promised is None else promised
    return header(*lengths, memory_bytes, groups, records, google_crc32c.value(body)) + body


def header(*fields: int) -> bytes:
    checked = HEADER.pack(*fields, 0)[:-4]
    return checked + struct.pack("<I", google_crc32c.value(checked))


@settings(max_examples=examples(200))
@given(st.binary(max_size=400))
def test_random_bytes_raise_an_invariant_error(data: bytes) -> None:
    if data:
        with pytest.raises(InvariantError):
            list(read_run([data]))


@settings(max_examples=examples(200))
@given(runs, st.data())
def test_a_truncated_or_overwritten_run_yields_only_frames_that_were_written(
    groups: dict[str, list[Any]], data: st.DataObject
) -> None:
    whole = written(groups)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    changed = whole[:start] + data.draw(st.binary(max_size=40)) + whole[stop:]
    assert all(frame in frames_read(whole) for frame in frames_read(changed))


@settings(max_examples=examples(100))
@given(runs, st.randoms(use_true_random=False))
def test_reordered_frames_are_still_those_that_were_written(groups: dict[str, list[Any]], random: Any) -> None:
    """The checksum of the whole piece protects their order and number."""
    frames = frames_in(written(groups))
    read = frames_read(b"".join(frames))
    order = list(range(len(frames)))
    random.shuffle(order)
    assert frames_read(b"".join(frames[at] for at in order)) == [read[at] for at in order]


@settings(max_examples=examples(200))
@given(st.binary(max_size=200), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_forged_frame_is_valid_or_raises_an_invariant_error(content: bytes, groups: int, records: int) -> None:
    for data in (forged(content), forged(content, groups=groups, records=records)):
        for frame in frames_read(data):
            assert len(list(frame.pairs())) == records


@pytest.mark.parametrize("promised", [2**32 - 1, 2**31, 10**9])
def test_a_frame_that_claims_gigabytes_uses_little_memory(promised: int) -> None:
    data = forged(Encoder().encode([["a"], None, [1]]), promised=promised)
    assert peak_bytes_of_refusing([data]) < limits.MIB


def test_a_frame_that_understates_its_size_in_memory_is_refused() -> None:
    content = Encoder().encode([["a"], None, ["b" * 900]])
    assert len(frames_read(forged(content, memory_bytes=len(content) + PAIR_BYTES))) == 1
    with pytest.raises(InvariantError, match="than the 900 bytes that its header says"):
        list(read_run([forged(content, memory_bytes=900)]))


@pytest.mark.parametrize("value", [None, [], {}])
def test_values_with_short_encodings_cannot_understate_their_size_in_memory(value: Any) -> None:
    content = Encoder().encode([["a"], [10_000], [value] * 10_000])
    with pytest.raises(InvariantError, match="more memory"):
        list(read_run([forged(content, groups=1, records=10_000, memory_bytes=len(content) + 10_000)]))


def test_a_short_body_that_claims_gigabytes_uses_only_its_own_memory() -> None:
    blocks = [header(2**32 - 1, 2**32 - 1, 2**32 - 1, 1, 1, 0), *[bytes(1000)] * 1000]
    assert peak_bytes_of_refusing(blocks) < 4 * limits.MIB


@settings(max_examples=examples(300))
@given(st.binary(max_size=100))
@example(b"\xdf\xff\xff\xff\xff")  # a dict with 4,000 million entries
@example(b"\xc6\xff\xff\xff\xff")  # as many bytes
@example(b"\xc9\xff\xff\xff\xff\x01")  # a tuple with as many items
@example(b"\xd6\xff\0\0\0\0")  # MessagePack's own timestamp
@example(b"\x91" * 100)
def test_any_bytes_decode_to_a_serializable_value_or_are_refused(data: bytes) -> None:
    try:
        check_value(decode(data))
    except InvariantError:
        pass
    except UserCodeError as error:  # never encoded by us
        assert re.search("Timestamp|nested", str(error))  # noqa: PT017 - most examples raise something else


@settings(max_examples=examples(100))
@given(st.data())
def test_any_change_of_a_column_of_the_index_raises_an_invariant_error(data: st.DataObject) -> None:
    pieces = st.builds(Piece, *[st.integers(0, 2**32 - 1)] * 3)
    one = st.tuples(st.from_regex("[0-9a-f]{16}", fullmatch=True), st.tuples(pieces))
    tasks = data.draw(st.lists(one, min_size=1, max_size=5))
    entries = [(worker, pack_pieces(row)) for worker, row in tasks]
    ((column, _),) = encode_segment(entries, layout="packed", reducers=1)
    expected = [
        PieceEntry(worker, entry.offset_bytes, piece)
        for (worker, (piece,)), entry in zip(tasks, decode_column(column, tasks=len(tasks)), strict=True)
    ]
    assert decode_column(column, tasks=len(tasks)) == expected
    changed = arbitrarily_changed(column, data)
    if changed != column:
        with pytest.raises(InvariantError):
            decode_column(changed, tasks=len(tasks))


def planned(tasks: Sequence[MapTask]) -> tuple[bytes, bytes]:
    file = io.BytesIO()
    summary = encode_plan(tasks, file.write)
    return file.getvalue()[: summary.index_offset_bytes], file.getvalue()[summary.index_offset_bytes :]


sources = st.text(st.characters(codec="utf-8") | st.integers(0xDC80, 0xDCFF).map(chr), max_size=20)
splits = st.builds(
    lambda source, size: Split(source=source, size_bytes=size, etag="e", start=0, stop=size), sources, st.integers(0, 9)
)
plans = st.lists(st.builds(lambda found: MapTask(splits=found), st.lists(splits, max_size=3).map(tuple)), max_size=4)


@settings(max_examples=examples(100))
@given(plans, st.data())
def test_any_change_of_a_plan_raises_an_invariant_error(tasks: list[MapTask], data: st.DataObject) -> None:
    segments, index = planned(tasks)
    assert list(decode_plan(index, [segments])) == tasks
    changed = arbitrarily_changed(segments, data)
    if changed[: len(segments)] != segments:
        with pytest.raises(InvariantError):
            list(decode_plan(index, [changed]))


@settings(max_examples=examples(200))
@given(st.binary(max_size=2 * POINTER_BYTES), st.binary(max_size=60))
@example(b"", b'{"splits":[{}]}')
@example(b"", b"[" * 100_000)
@example(b"", b'{"splits":[{"source":"a","size_bytes":1,"etag":"","start":1,"stop":0}]}')
@example(b"", b"\xff")
def test_any_pointer_and_segment_give_a_task_or_an_invariant_error(pointer: bytes, segment: bytes) -> None:
    fitting = Pointer(offset_bytes=0, length_bytes=len(segment), crc32c=google_crc32c.value(segment))
    with pytest.raises(InvariantError):
        decode_map_task(segment, fitting)
    with pytest.raises(InvariantError):
        decode_map_task(segment, decode_pointer(pointer))


def arbitrarily_changed(whole: bytes, data: st.DataObject) -> bytes:
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    return whole[:start] + data.draw(st.binary(max_size=20)) + whole[stop:]


def peak_bytes_of_refusing(blocks: list[bytes]) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(InvariantError):
            list(read_run(blocks))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
