"""The contract of `Published`: in memory, in a folder and on S3."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from s3mr import limits
from s3mr.adapters.memory.memory_data import MemoryFolder, MemoryPublished
from s3mr.adapters.published_output import FolderPublished, S3Published
from s3mr.errors import InvariantError, RequestError
from s3mr.ports import Published


@dataclass(frozen=True)
class PublishedStorage:
    """An output that any process can write to."""

    published: Published
    put: Callable[[str, bytes], object]
    remove: Callable[[str], object]


def memory_place() -> PublishedStorage:
    folder = MemoryFolder()
    return PublishedStorage(MemoryPublished(folder), folder.objects.__setitem__, folder.objects.__delitem__)


def folder_place(folder: Path) -> PublishedStorage:
    def put(name: str, data: bytes) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    folder.mkdir()
    return PublishedStorage(FolderPublished(str(folder)), put, lambda name: (folder / name).unlink())


def s3_place(client: S3Client) -> PublishedStorage:
    client.put_object(Bucket="bucket", Key="out-of-the-way/part-00000", Body=b"a neighbour's")
    client.put_object(Bucket="bucket", Key="out/", Body=b"")  # a folder made in the S3 console
    return PublishedStorage(
        S3Published(client, "s3://bucket/out"),
        lambda name, data: client.put_object(Bucket="bucket", Key=f"out/{name}", Body=data),
        lambda name: client.delete_object(Bucket="bucket", Key=f"out/{name}"),
    )


@pytest.fixture(params=["memory", "folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> PublishedStorage:
    if request.param == "memory":
        return memory_place()
    if request.param == "folder":
        return folder_place(tmp_path / "out")
    return s3_place(request.getfixturevalue("s3"))


def content(place: PublishedStorage, name: str) -> bytes | None:
    blocks = place.published.stream(name)
    return None if blocks is None else b"".join(blocks)


def test_objects_are_named_and_deeper_ones_as_one_name(place: PublishedStorage) -> None:
    for name in ("part-00001", "part-00000", "_SUCCESS", "deeper/a", "deeper/b/c", "é"):
        place.put(name, b"x")
    assert list(place.published.names()) == ["_SUCCESS", "deeper/", "part-00000", "part-00001", "é"]


def test_an_object_is_read_whole_in_blocks_of_at_most_a_mebibyte(place: PublishedStorage) -> None:
    data = os.urandom(2 * limits.MIB + 5)
    place.put("part-00000", data)
    blocks = place.published.stream("part-00000")
    assert blocks is not None
    sizes = []
    read = b""
    for block in blocks:
        sizes.append(len(block))
        read += block
    assert read == data
    assert max(sizes) <= limits.MIB


def test_an_empty_object_exists(place: PublishedStorage) -> None:
    place.put("part-00000", b"")
    assert content(place, "part-00000") == b""


def test_a_missing_or_non_file_name_is_none(place: PublishedStorage) -> None:
    place.put("part-00000/inside", b"x")
    assert content(place, "part-00000") is None
    assert content(place, "part-00001") is None


def test_a_removed_object_is_gone(place: PublishedStorage) -> None:
    place.put("part-00000", b"x")
    place.remove("part-00000")
    assert content(place, "part-00000") is None
    assert list(place.published.names()) == []


def test_in_memory_an_object_that_vanishes_while_it_is_read_is_an_error() -> None:
    place = memory_place()
    place.put("part-00000", bytes(2 * limits.MIB))
    blocks = place.published.stream("part-00000")
    assert blocks is not None
    next(blocks)
    place.remove("part-00000")
    with pytest.raises(InvariantError, match="while it was read"):
        next(blocks)


def test_a_missing_bucket_and_an_unreadable_file_are_refused(s3: S3Client, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no such bucket"):
        S3Published(s3, "s3://another/out").stream("_SUCCESS")
    with pytest.raises(RequestError, match="no such file or directory"):
        list(FolderPublished(str(tmp_path / "none")).names())
    with pytest.raises(RequestError, match="File name too long"):
        FolderPublished(str(tmp_path)).stream("x" * 300)
