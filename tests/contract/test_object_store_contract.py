"""The contract of `ObjectStore`: in memory, on the embedded cloud, and on a bucket listed key by key."""

import io

import pytest

from s3mr.adapters.aws.s3_store import S3ObjectStore
from s3mr.adapters.memory.memory_stores import MemoryObjectStore
from s3mr.errors import InvariantError
from s3mr.local.cloud import EmbeddedCloud
from s3mr.ports import ObjectStore
from tests.contract.conftest import BUCKET, FaultyServices
from tests.contract.misbehaving import one_entry_a_page


@pytest.fixture(params=["memory", "embedded cloud", "key by key"])
def objects(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryObjectStore()
    if request.param == "key by key":
        services: FaultyServices = request.getfixturevalue("services")
        services.meet(one_entry_a_page)
        return S3ObjectStore(services.s3, BUCKET)
    cloud: EmbeddedCloud = request.getfixturevalue("cloud")
    cloud.stack.objects.delete(list(cloud.stack.objects.list("")))
    return cloud.stack.objects


def read(objects: ObjectStore, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join(objects.stream(key, start=start, stop=stop))


def test_an_object_can_be_read_whole_or_by_range(objects: ObjectStore) -> None:
    objects.put("a", b"0123456789")
    assert read(objects, "a") == b"0123456789"
    assert read(objects, "a", 3, 7) == b"3456"
    assert read(objects, "a", 4) == b"456789"
    assert read(objects, "a", 5, 5) == b""


def test_a_file_is_stored_from_its_start(objects: ObjectStore) -> None:
    file = io.BytesIO(b"abc")
    file.seek(2)
    objects.put("a", file)
    assert read(objects, "a") == b"abc"


def test_a_large_object_comes_in_blocks_of_at_most_a_mebibyte(objects: ObjectStore) -> None:
    objects.put("a", bytes(3 * 1024 * 1024 + 5))
    blocks = list(objects.stream("a"))
    assert sum(map(len, blocks)) == 3 * 1024 * 1024 + 5
    assert max(map(len, blocks)) <= 1024 * 1024


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 4), (2, 3)])
def test_a_missing_object_raises_an_invariant_error(objects: ObjectStore, start: int, stop: int | None) -> None:
    with pytest.raises(InvariantError, match="missing"):
        read(objects, "missing", start, stop)


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (2, 9), (3, 5), (7, 8)])
def test_an_object_shorter_than_the_range_raises_an_invariant_error(
    objects: ObjectStore, start: int, stop: int
) -> None:
    objects.put("a", b"abc")
    with pytest.raises(InvariantError, match="shorter"):
        read(objects, "a", start, stop)


def test_keys_are_listed_sorted_below_their_prefix_and_deleted(objects: ObjectStore) -> None:
    for number in reversed(range(12)):
        objects.put(f"many/{number:04d}", b"")
    objects.put("many-others", b"")
    assert list(objects.list("many/")) == [f"many/{number:04d}" for number in range(12)]
    objects.delete(objects.list("many/"))
    assert list(objects.list("many")) == ["many-others"]


def test_deleting_a_missing_object_is_not_an_error(objects: ObjectStore) -> None:
    objects.delete(["nothing"])
    objects.delete([])
    assert list(objects.list("")) == []


def test_the_size_of_an_object_is_that_of_its_content(objects: ObjectStore) -> None:
    objects.put("a", b"abc")
    objects.put("empty", b"")
    assert [objects.size(key) for key in ("a", "empty", "missing")] == [3, 0, None]


def test_a_copy_is_a_separate_object(objects: ObjectStore) -> None:
    objects.put("a b%/é+?", b"abc")
    assert objects.copy("a b%/é+?", "b")
    assert objects.copy("a b%/é+?", "b")
    objects.delete(["a b%/é+?"])
    assert read(objects, "b") == b"abc"


def test_a_missing_object_cannot_be_copied(objects: ObjectStore) -> None:
    assert not objects.copy("missing", "b")
    assert objects.size("b") is None
