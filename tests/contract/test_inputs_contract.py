"""The contract of `Inputs`: in memory, on files and on S3."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from s3mr import limits
from s3mr.adapters.all_inputs import AnyInputs
from s3mr.adapters.aws.s3_inputs import S3Inputs
from s3mr.adapters.files.file_inputs import LocalInputs
from s3mr.adapters.memory.memory_data import MemoryInputs
from s3mr.errors import RequestError
from s3mr.ports import Inputs


@dataclass(frozen=True)
class InputStorage:
    """Input storage with objects below ``root``."""

    inputs: Inputs
    root: str
    put: Callable[[str, bytes], object]
    remove: Callable[[str], object]


def memory_storage() -> InputStorage:
    inputs = MemoryInputs({})
    return InputStorage(
        inputs,
        "mem",
        lambda name, data: inputs.objects.__setitem__(f"mem/{name}", data),
        lambda name: inputs.objects.pop(f"mem/{name}"),
    )


def file_storage(folder: Path) -> InputStorage:
    def put(name: str, data: bytes) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return InputStorage(LocalInputs(), str(folder), put, lambda name: (folder / name).unlink())


def s3_storage(client: S3Client) -> InputStorage:
    return InputStorage(
        S3Inputs(client),
        "s3://bucket/in",
        lambda name, data: client.put_object(Bucket="bucket", Key=f"in/{name}", Body=data),
        lambda name: client.delete_object(Bucket="bucket", Key=f"in/{name}"),
    )


@pytest.fixture(params=["memory", "files", "s3", "any"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> InputStorage:
    if request.param == "memory":
        return memory_storage()
    if request.param == "files":
        return file_storage(tmp_path)
    s3 = s3_storage(request.getfixturevalue("s3"))
    if request.param == "s3":
        return s3
    s3_inputs = s3.inputs
    assert isinstance(s3_inputs, S3Inputs)
    return InputStorage(AnyInputs(LocalInputs(), lambda: s3_inputs), s3.root, s3.put, s3.remove)


def names(storage: InputStorage, *arguments: str) -> list[str]:
    found = storage.inputs.find([storage.root + argument for argument in arguments])
    return [each.source.removeprefix(f"{storage.root}/") for each in found.objects]


def test_an_object_is_found_by_its_name_with_its_size(storage: InputStorage) -> None:
    storage.put("a.txt", b"12345")
    found = storage.inputs.find([f"{storage.root}/a.txt"])
    assert [(each.source, each.size_bytes) for each in found.objects] == [(f"{storage.root}/a.txt", 5)]
    assert found.skipped == 0


def test_a_folder_has_all_objects_below_it_sorted_by_full_name(storage: InputStorage) -> None:
    expected = ["B", "a-b/x", "a.txt", "a/b/c", "a/x", "a0", "ü/%20 +.txt"]
    for name in reversed(expected):
        storage.put(name, b"x")
    assert names(storage, "") == expected
    assert names(storage, "/") == expected


def test_a_folder_matches_only_whole_path_components(storage: InputStorage) -> None:
    for name in ("logs/a", "logs-old/b", "logs.txt"):
        storage.put(name, b"x")
    assert names(storage, "/logs") == ["logs/a"]
    assert names(storage, "/logs/") == ["logs/a"]


def test_hidden_names_are_skipped_and_counted_unless_they_are_named(storage: InputStorage) -> None:
    for name in ("a", "_SUCCESS", ".hidden", "_temporary/x", "b/.c/d", "b/e_.f"):
        storage.put(name, b"x")
    found = storage.inputs.find([storage.root])
    assert [each.source.removeprefix(f"{storage.root}/") for each in found.objects] == ["a", "b/e_.f"]
    assert found.skipped == 4
    assert names(storage, "/_SUCCESS", "/_temporary/") == ["_SUCCESS", "_temporary/x"]


def test_an_object_that_is_named_twice_counts_once_at_its_first_position(storage: InputStorage) -> None:
    for name in ("a", "b", "_c"):
        storage.put(name, b"x")
    assert names(storage, "/b", "", "/a") == ["b", "a"]
    assert storage.inputs.find([storage.root, storage.root, f"{storage.root}/_c"]).skipped == 0


def test_empty_objects_are_found(storage: InputStorage) -> None:
    storage.put("empty", b"")
    found = storage.inputs.find([storage.root])
    assert [each.size_bytes for each in found.objects] == [0]


def test_a_missing_object_is_refused_by_its_name(storage: InputStorage) -> None:
    storage.put("a", b"x")
    with pytest.raises(RequestError, match=r"/missing"):
        storage.inputs.find([storage.root, f"{storage.root}/missing"])


def test_an_input_with_only_skipped_names_is_refused(storage: InputStorage) -> None:
    storage.put("_a", b"x")
    with pytest.raises(RequestError, match=r"no input.*1 skipped"):
        storage.inputs.find([storage.root])


def test_any_range_is_streamed_in_small_blocks(storage: InputStorage) -> None:
    data = bytes(range(256)) * (10 * limits.KIB)  # 2.5 MiB
    storage.put("a", data)
    etag = storage.inputs.find([storage.root]).objects[0].etag
    for start, stop in ((0, len(data)), (0, 1), (1, 2 * limits.MIB + 1), (len(data) - 1, len(data)), (5, 5)):
        blocks = list(storage.inputs.stream(f"{storage.root}/a", etag=etag, start=start, stop=stop))
        assert b"".join(blocks) == data[start:stop]
        assert all(0 < len(block) <= limits.MIB for block in blocks)


def test_a_stream_can_be_closed_early(storage: InputStorage) -> None:
    storage.put("a", bytes(3 * limits.MIB))
    etag = storage.inputs.find([storage.root]).objects[0].etag
    assert next(storage.inputs.stream(f"{storage.root}/a", etag=etag, start=0, stop=3 * limits.MIB))


def test_a_changed_object_is_refused(storage: InputStorage) -> None:
    storage.put("a", b"before")
    etag = storage.inputs.find([storage.root]).objects[0].etag
    storage.put("a", b"after, and longer")
    with pytest.raises(RequestError, match="changed since it was planned"):
        list(storage.inputs.stream(f"{storage.root}/a", etag=etag, start=0, stop=6))


def test_a_vanished_object_is_refused(storage: InputStorage) -> None:
    storage.put("a", b"x")
    etag = storage.inputs.find([storage.root]).objects[0].etag
    storage.remove("a")
    with pytest.raises(RequestError, match=r"/a"):
        list(storage.inputs.stream(f"{storage.root}/a", etag=etag, start=0, stop=1))


@pytest.fixture(params=["files", "s3"])
def globbing(request: pytest.FixtureRequest, tmp_path: Path) -> InputStorage:
    storage = file_storage(tmp_path) if request.param == "files" else s3_storage(request.getfixturevalue("s3"))
    for name in ("a.txt", "b.txt", "c.md", "x/a.txt", "x/y/b.txt", "x/y/c.md", "x/_z.txt", "x/.z/a.txt", "[a].txt"):
        storage.put(name, b"x")
    return storage


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/*.txt", ["[a].txt", "a.txt", "b.txt"]),
        ("/?.txt", ["a.txt", "b.txt"]),
        ("/[bc].*", ["b.txt", "c.md"]),
        ("/[!b].*", ["a.txt", "c.md"]),
        ("/[a].txt", ["[a].txt"]),
        ("/**/*.md", ["c.md", "x/y/c.md"]),
        ("/x/*/b.txt", ["x/y/b.txt"]),
        ("/x/*", ["x/a.txt", "x/y/b.txt", "x/y/c.md"]),
        ("/x/_*", ["x/_z.txt"]),
        ("/*/y", ["x/y/b.txt", "x/y/c.md"]),
    ],
)
def test_globs_match_path_components_the_same_way_in_every_storage(
    globbing: InputStorage, pattern: str, expected: list[str]
) -> None:
    assert names(globbing, pattern) == expected


def test_hidden_names_that_a_glob_matches_are_skipped_and_counted(globbing: InputStorage) -> None:
    assert globbing.inputs.find([f"{globbing.root}/x/*"]).skipped == 2


def test_a_glob_that_matches_nothing_says_so(globbing: InputStorage) -> None:
    with pytest.raises(RequestError, match=r"nothing matches the pattern .*\*\.gz"):
        globbing.inputs.find([f"{globbing.root}/*.gz"])


def test_looking_up_an_object_returns_its_current_version(storage: InputStorage) -> None:
    for name in ("a", "a-longer", "dir [1]/b*"):
        storage.put(name, b"12")
    for found in storage.inputs.find([storage.root]).objects:
        assert storage.inputs.look_up(found.source) == found
    (before,) = storage.inputs.find([f"{storage.root}/a"]).objects
    storage.put("a", b"34!")
    changed = storage.inputs.look_up(f"{storage.root}/a")
    assert changed is not None
    assert changed.etag != before.etag
    assert changed.size_bytes == 3
    storage.remove("a")
    assert storage.inputs.look_up(f"{storage.root}/a") is None
    assert storage.inputs.look_up(f"{storage.root}/nowhere/below") is None
