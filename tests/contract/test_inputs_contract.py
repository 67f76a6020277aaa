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
class World:
    """Input storage with objects below ``root``."""

    inputs: Inputs
    root: str
    put: Callable[[str, bytes], object]
    remove: Callable[[str], object]


def memory_world() -> World:
    inputs = MemoryInputs({})
    return World(
        inputs,
        "mem",
        lambda name, data: inputs.objects.__setitem__(f"mem/{name}", data),
        lambda name: inputs.objects.pop(f"mem/{name}"),
    )


def file_world(folder: Path) -> World:
    def put(name: str, data: bytes) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return World(LocalInputs(), str(folder), put, lambda name: (folder / name).unlink())


def s3_world(client: S3Client) -> World:
    return World(
        S3Inputs(client),
        "s3://bucket/in",
        lambda name, data: client.put_object(Bucket="bucket", Key=f"in/{name}", Body=data),
        lambda name: client.delete_object(Bucket="bucket", Key=f"in/{name}"),
    )


@pytest.fixture(params=["memory", "files", "s3", "any"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        return memory_world()
    if request.param == "files":
        return file_world(tmp_path)
    s3 = s3_world(request.getfixturevalue("s3"))
    if request.param == "s3":
        return s3
    s3_inputs = s3.inputs
    assert isinstance(s3_inputs, S3Inputs)
    return World(AnyInputs(LocalInputs(), lambda: s3_inputs), s3.root, s3.put, s3.remove)


def names(world: World, *arguments: str) -> list[str]:
    found = world.inputs.find([world.root + argument for argument in arguments])
    return [each.source.removeprefix(f"{world.root}/") for each in found.objects]


def test_an_object_is_found_by_its_name_with_its_size(world: World) -> None:
    world.put("a.txt", b"12345")
    found = world.inputs.find([f"{world.root}/a.txt"])
    assert [(each.source, each.size_bytes) for each in found.objects] == [(f"{world.root}/a.txt", 5)]
    assert found.skipped == 0


def test_a_folder_has_all_objects_below_it_sorted_by_full_name(world: World) -> None:
    expected = ["B", "a-b/x", "a.txt", "a/b/c", "a/x", "a0", "ü/%20 +.txt"]
    for name in reversed(expected):
        world.put(name, b"x")
    assert names(world, "") == expected
    assert names(world, "/") == expected


def test_a_folder_matches_only_whole_path_components(world: World) -> None:
    for name in ("logs/a", "logs-old/b", "logs.txt"):
        world.put(name, b"x")
    assert names(world, "/logs") == ["logs/a"]
    assert names(world, "/logs/") == ["logs/a"]


def test_hidden_names_are_skipped_and_counted_unless_they_are_named(world: World) -> None:
    for name in ("a", "_SUCCESS", ".hidden", "_temporary/x", "b/.c/d", "b/e_.f"):
        world.put(name, b"x")
    found = world.inputs.find([world.root])
    assert [each.source.removeprefix(f"{world.root}/") for each in found.objects] == ["a", "b/e_.f"]
    assert found.skipped == 4
    assert names(world, "/_SUCCESS", "/_temporary/") == ["_SUCCESS", "_temporary/x"]


def test_an_object_that_is_named_twice_counts_once_at_its_first_position(world: World) -> None:
    for name in ("a", "b", "_c"):
        world.put(name, b"x")
    assert names(world, "/b", "", "/a") == ["b", "a"]
    assert world.inputs.find([world.root, world.root, f"{world.root}/_c"]).skipped == 0


def test_empty_objects_are_found(world: World) -> None:
    world.put("empty", b"")
    found = world.inputs.find([world.root])
    assert [each.size_bytes for each in found.objects] == [0]


def test_a_missing_object_is_refused_by_its_name(world: World) -> None:
    world.put("a", b"x")
    with pytest.raises(RequestError, match=r"/missing"):
        world.inputs.find([world.root, f"{world.root}/missing"])


def test_an_input_with_only_skipped_names_is_refused(world: World) -> None:
    world.put("_a", b"x")
    with pytest.raises(RequestError, match=r"no input.*1 skipped"):
        world.inputs.find([world.root])


def test_any_range_is_streamed_in_small_blocks(world: World) -> None:
    data = bytes(range(256)) * (10 * limits.KIB)  # 2.5 MiB
    world.put("a", data)
    etag = world.inputs.find([world.root]).objects[0].etag
    for start, stop in ((0, len(data)), (0, 1), (1, 2 * limits.MIB + 1), (len(data) - 1, len(data)), (5, 5)):
        blocks = list(world.inputs.stream(f"{world.root}/a", etag=etag, start=start, stop=stop))
        assert b"".join(blocks) == data[start:stop]
        assert all(0 < len(block) <= limits.MIB for block in blocks)


def test_a_stream_can_be_closed_early(world: World) -> None:
    world.put("a", bytes(3 * limits.MIB))
    etag = world.inputs.find([world.root]).objects[0].etag
    assert next(world.inputs.stream(f"{world.root}/a", etag=etag, start=0, stop=3 * limits.MIB))


def test_a_changed_object_is_refused(world: World) -> None:
    world.put("a", b"before")
    etag = world.inputs.find([world.root]).objects[0].etag
    world.put("a", b"after, and longer")
    with pytest.raises(RequestError, match="changed since it was planned"):
        list(world.inputs.stream(f"{world.root}/a", etag=etag, start=0, stop=6))


def test_a_vanished_object_is_refused(world: World) -> None:
    world.put("a", b"x")
    etag = world.inputs.find([world.root]).objects[0].etag
    world.remove("a")
    with pytest.raises(RequestError, match=r"/a"):
        list(world.inputs.stream(f"{world.root}/a", etag=etag, start=0, stop=1))


@pytest.fixture(params=["files", "s3"])
def globbing(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    world = file_world(tmp_path) if request.param == "files" else s3_world(request.getfixturevalue("s3"))
    for name in ("a.txt", "b.txt", "c.md", "x/a.txt", "x/y/b.txt", "x/y/c.md", "x/_z.txt", "x/.z/a.txt", "[a].txt"):
        world.put(name, b"x")
    return world


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
    globbing: World, pattern: str, expected: list[str]
) -> None:
    assert names(globbing, pattern) == expected


def test_hidden_names_that_a_glob_matches_are_skipped_and_counted(globbing: World) -> None:
    assert globbing.inputs.find([f"{globbing.root}/x/*"]).skipped == 2


def test_a_glob_that_matches_nothing_says_so(globbing: World) -> None:
    with pytest.raises(RequestError, match=r"nothing matches the pattern .*\*\.gz"):
        globbing.inputs.find([f"{globbing.root}/*.gz"])


def test_looking_up_an_object_returns_its_current_version(world: World) -> None:
    for name in ("a", "a-longer", "dir [1]/b*"):
        world.put(name, b"12")
    for found in world.inputs.find([world.root]).objects:
        assert world.inputs.look_up(found.source) == found
    (before,) = world.inputs.find([f"{world.root}/a"]).objects
    world.put("a", b"34!")
    changed = world.inputs.look_up(f"{world.root}/a")
    assert changed is not None
    assert changed.etag != before.etag
    assert changed.size_bytes == 3
    world.remove("a")
    assert world.inputs.look_up(f"{world.root}/a") is None
    assert world.inputs.look_up(f"{world.root}/nowhere/below") is None
