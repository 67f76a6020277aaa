import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr import limits
from s3mr.errors import InvariantError
from s3mr.model.manifest import Piece, pack_pieces
from s3mr.shuffle import frames
from s3mr.shuffle.frames import read_run, write_run
from s3mr.shuffle.shuffle_index import column_range, decode_column, encode_segment
from s3mr.shuffle.value_types import column_bytes

Groups = list[tuple[Any, list[Any]]]
groups_of_text = st.dictionaries(
    st.text(max_size=5), st.lists(st.integers() | st.text(max_size=40), min_size=1, max_size=30), max_size=20
).map(lambda groups: sorted(groups.items()))


def written(groups: Any, frame_bytes: int) -> tuple[bytes, frames.WrittenRun]:
    file = io.BytesIO()
    run = write_run(([(key, value) for value in values] for key, values in groups), file.write, frame_bytes=frame_bytes)
    return file.getvalue(), run


def pairs(groups: Any) -> list[tuple[Any, Any]]:
    return [(key, value) for key, values in groups for value in values]


def read_pairs(blocks: Any) -> list[tuple[Any, Any]]:
    frames = list(read_run(blocks))
    assert [list(frame.pairs()) for frame in frames] == [pairs(frame.groups()) for frame in frames]
    return [pair for frame in frames for pair in frame.pairs()]


@given(groups_of_text, st.integers(1, 5000), st.integers(1, 400))
def test_a_run_reads_back_with_any_frames_and_blocks(groups: Groups, size: int, block: int) -> None:
    data, run = written(groups, size)
    blocks = [data[at : at + block] for at in range(0, len(data), block)]
    assert read_pairs(blocks) == pairs(groups)
    assert run.piece.records == len(pairs(groups))
    assert run.piece.length_bytes == len(data)


@given(groups_of_text.filter(bool), st.data())
def test_every_damaged_byte_is_detected(groups: Groups, data: st.DataObject) -> None:
    whole, _ = written(groups, 2000)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvariantError):
        read_pairs([bytes(damaged)])


@given(groups_of_text.filter(bool), st.data())
def test_a_run_that_ends_inside_a_frame_is_refused(groups: Groups, data: st.DataObject) -> None:
    whole, _ = written(groups, 10**6)
    with pytest.raises(InvariantError):
        read_pairs([whole[: data.draw(st.integers(1, len(whole) - 1))]])


def test_frames_stay_within_their_size_even_if_value_sizes_jump() -> None:
    groups = [(f"{number:06}", [1] * 7) for number in range(3000)]
    groups += [(f"x{number:06}", ["y" * 9_000]) for number in range(50)]  # type: ignore[list-item]
    groups += [("z", list(range(10_000)))]
    data, run = written(groups, 20_000)
    assert run.frame_bytes_max <= 20_000
    for frame in read_run([data]):
        assert column_bytes(frame.values) < frame.size_bytes <= 20_000
    assert read_pairs([data]) == pairs(groups)


def test_a_value_larger_than_a_frame_gets_its_own_frame() -> None:
    data, run = written([("a", [1]), ("b", ["x" * 50_000, 2]), ("c", [3])], 1000)
    assert [list(frame.pairs()) for frame in read_run([data])] == [
        [("a", 1)],
        [("b", "x" * 50_000)],
        [("b", 2), ("c", 3)],
    ]
    assert run.frame_bytes_max > 50_000


def test_many_values_of_one_key_are_never_in_memory_together() -> None:
    file = io.BytesIO()
    run = write_run(([("k", number)] for number in range(200_000)), file.write, frame_bytes=16_384)
    frames = list(read_run([file.getvalue()]))
    assert run.piece.records == sum(len(frame.values) for frame in frames) == 200_000
    assert max(len(frame.values) for frame in frames) < 1000
    assert all(len(frame.keys) == 1 for frame in frames)


def test_an_empty_run_has_zero_bytes() -> None:
    data, run = written([], 1000)
    assert (data, run.piece) == (b"", Piece(0, 0, 0))
    assert list(read_run([])) == []


def test_the_frame_size_depends_on_memory_within_limits() -> None:
    assert frames.frame_bytes(1) == limits.FRAME_BYTES_MIN
    assert frames.frame_bytes(16 * limits.MIB) == 64 * limits.KIB
    assert frames.frame_bytes(10 * limits.GIB) == limits.FRAME_BYTES_MAX


@pytest.mark.parametrize("layout", ["packed", "split"])
def test_a_reducer_finds_its_pieces_in_the_index(layout: Any) -> None:
    pieces = [[Piece(task * 10 + partition, 1, task ^ partition) for partition in range(3)] for task in range(4)]
    workers = [f"{task:016x}" for task in range(4)]
    tasks = [(worker, pack_pieces(each)) for worker, each in zip(workers, pieces, strict=True)]
    columns = list(encode_segment(tasks, layout=layout, reducers=3))
    segment = b"".join(column for column, _ in columns)
    assert [books.records for _, books in columns] == [4, 4, 4]
    assert [books.checksum for _, books in columns] == [0 + 1 + 2 + 3, 1 + 0 + 3 + 2, 2 + 3 + 0 + 1]
    for partition in range(3):
        start, stop = column_range(partition, tasks=4)
        entries = decode_column(segment[start:stop], tasks=4)
        assert [entry.piece for entry in entries] == [each[partition] for each in pieces]
        assert [entry.worker for entry in entries] == workers
        before = [sum(piece.length_bytes for piece in each[:partition]) for each in pieces]
        assert [entry.offset_bytes for entry in entries] == (before if layout == "packed" else [0] * 4)
    assert stop == len(segment)


def test_a_damaged_column_of_the_index_raises_an_invariant_error() -> None:
    task = ("0" * 16, pack_pieces([Piece(1, 2, 3)]))
    ((column, _),) = encode_segment([task], layout="packed", reducers=1)
    for at in range(len(column)):
        with pytest.raises(InvariantError):
            decode_column(column[:at] + bytes([column[at] ^ 1]) + column[at + 1 :], tasks=1)
    with pytest.raises(InvariantError):
        decode_column(column, tasks=2)
    with pytest.raises(InvariantError):
        list(encode_segment([task], layout="packed", reducers=2))
