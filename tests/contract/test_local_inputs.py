"""Behavior of file inputs only: links, names that are not UTF-8, pipes, paths as given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s3mr.adapters.all_inputs import AnyInputs
from s3mr.adapters.files.file_inputs import LocalInputs
from s3mr.errors import RequestError
from s3mr.model.plan_codec import decode_map_task, decode_pointer, encode_plan
from s3mr.policy.planning import plan_splits


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name: str, data: bytes = b"x") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def sources(*arguments: str) -> list[str]:
    return [each.source for each in LocalInputs().find(arguments).objects]


def test_a_source_is_the_given_or_found_path() -> None:
    put("books/a.txt")
    put("books/sub/b.txt")
    assert sources("books/a.txt") == ["books/a.txt"]
    assert sources("books") == sources("books/") == ["books/a.txt", "books/sub/b.txt"]
    assert sources("./books/") == ["./books/a.txt", "./books/sub/b.txt"]
    assert sources("books/*.txt") == ["books/a.txt"]
    assert sources(".") == ["./books/a.txt", "./books/sub/b.txt"]
    assert sources(str(Path.cwd() / "books/a.txt")) == [str(Path.cwd() / "books/a.txt")]


def test_a_name_counts_once_however_it_is_written_and_a_link_is_another_name() -> None:
    path = put("in/a")
    Path("link").symlink_to("in/a")
    assert sources("./in/a", "in/a", "in//a", "in/../in/a", "in/./a", str(path.absolute())) == ["./in/a"]
    assert sources("link", "in/a", "in", ".") == ["link", "in/a"]


def test_two_links_to_one_file_are_two_inputs(folder: Path) -> None:
    put("data/monday", b"1\n")
    for name in ("in/a", "in/b"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).symlink_to(folder / "data/monday")
    assert sources("in") == sources("in/*") == ["in/a", "in/b"]


def test_two_links_to_one_folder_are_two_folders() -> None:
    put("data/x")
    Path("in").mkdir()
    Path("in/a").symlink_to("../data")
    Path("in/b").symlink_to("../data")
    assert sources("in") == ["in/a/x", "in/b/x"]


@pytest.mark.parametrize("uri", ["gs://bucket/a", "S3://bucket/a", "s3a://bucket/a", "s3:bucket/a", "https://a.b/c"])
def test_a_uri_of_another_kind_is_refused_and_says_what_to_name(uri: str) -> None:
    inputs = AnyInputs(LocalInputs(), LocalInputs)
    with pytest.raises(RequestError, match=f"not an input: {uri}; name a file, a folder, a glob or s3://"):
        inputs.find([uri])
    put(uri)
    assert [each.source for each in inputs.find([uri]).objects] == [uri]
    assert [each.source for each in inputs.find([f"{uri[:-1]}*"]).objects] == [uri]


def test_links_are_followed_and_loops_end() -> None:
    put("real/a")
    put("elsewhere/b")
    Path("real/loop").symlink_to("..")
    Path("real/other").symlink_to("../elsewhere")
    assert sources("real") == ["real/a", "real/loop/elsewhere/b", "real/other/b"]
    Path("real/self").symlink_to("self")
    with pytest.raises(RequestError, match="real/self"):
        sources("real")


def test_a_dangling_link_is_refused_by_its_name() -> None:
    put("a")
    Path("dangling").symlink_to("nowhere")
    for argument in (".", "dangling"):
        with pytest.raises(RequestError, match=r"no such file or directory: .*dangling"):
            sources(argument)


def test_pipes_and_devices_are_refused_and_never_opened() -> None:
    put("in/a")
    os.mkfifo("in/pipe")
    for argument in ("in/pipe", "in", "/dev/null"):
        with pytest.raises(RequestError, match="a pipe, a socket or a device"):
            sources(argument)


def test_a_pattern_that_is_also_the_name_of_a_file_means_that_file() -> None:
    put("[ab].txt")
    put("a.txt")
    assert sources("[ab].txt") == ["[ab].txt"]
    assert sources("[ab]*") == ["a.txt"]


def test_a_folder_that_a_pattern_matches_is_read_as_a_folder() -> None:
    for name in ("y1/a", "y2/b/c", "z/d"):
        put(name)
    assert sources("y*") == ["y1/a", "y2/b/c"]


def test_an_empty_folder_is_refused_unless_there_is_another_input() -> None:
    Path("empty").mkdir()
    put("a")
    assert sources("empty", "a") == ["a"]
    with pytest.raises(RequestError, match="no input: nothing to read in empty"):
        sources("empty")


def test_an_unreadable_file_is_refused_by_its_name(folder: Path) -> None:
    put("in/secret").chmod(0)
    folder.chmod(0o755)
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    code = (
        "import os, sys\n"
        "from s3mr.adapters.files.file_inputs import LocalInputs\n"
        "from s3mr.errors import RequestError\n"
        "os.getuid() or os.setuid(65534)\n"
        "try: LocalInputs().find(['in'])\n"
        "except RequestError as error: sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "permission denied: in/secret"


def test_a_name_that_is_not_utf8_is_kept_in_the_plan() -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        put(name, b"content")
    except OSError:
        pytest.skip("this file system allows only UTF-8 names")
    found = LocalInputs().find(["."]).objects
    written = bytearray()
    tasks = plan_splits(found, split_size_bytes=100, splittable=lambda _: True)
    summary = encode_plan(tasks, written.extend)
    pointer = decode_pointer(bytes(written[summary.index_offset_bytes :]))
    (split,) = decode_map_task(bytes(written[: pointer.length_bytes]), pointer).splits
    assert split.source == f"./{name}"
    assert b"".join(LocalInputs().stream(split.source, etag=split.etag, start=0, stop=7)) == b"content"


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    path = put("a", bytes(3 * 2**20))
    (found,) = LocalInputs().find(["a"]).objects
    blocks = LocalInputs().stream("a", etag=found.etag, start=0, stop=3 * 2**20)
    next(blocks)
    path.write_bytes(b"")
    with pytest.raises(RequestError, match="changed since it was planned"):
        list(blocks)


def test_a_file_rewritten_in_place_while_it_is_read_is_refused() -> None:
    path = put("a", bytes(3 * 2**20))
    (found,) = LocalInputs().find(["a"]).objects
    blocks = LocalInputs().stream("a", etag=found.etag, start=0, stop=3 * 2**20)
    next(blocks)
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(1, 1))
    with pytest.raises(RequestError, match="changed since it was planned"):
        list(blocks)


@pytest.mark.parametrize("reading", [False, True])
def test_a_file_edited_in_place_with_its_old_time_restored_is_refused(*, reading: bool) -> None:
    path = put("a", bytes(3 * 2**20))
    (found,) = LocalInputs().find(["a"]).objects
    blocks = LocalInputs().stream("a", etag=found.etag, start=0, stop=3 * 2**20)
    if reading:
        next(blocks)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(RequestError, match="changed since it was planned"):
        list(blocks)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("device", ["pipe", "/dev/zero", "folder"])
def test_a_file_that_was_replaced_by_something_else_is_refused_at_once(device: str) -> None:
    path = put("a", b"content")
    (found,) = LocalInputs().find(["a"]).objects
    path.unlink()
    if device == "pipe":
        os.mkfifo(path)
    elif device == "folder":
        path.mkdir()
    else:
        path.symlink_to(device)
    with pytest.raises(RequestError, match=r"^(changed since it was planned: )?a"):
        list(LocalInputs().stream("a", etag=found.etag, start=0, stop=7))


def test_local_files_need_no_client_and_no_boto3() -> None:
    put("a")

    def never() -> LocalInputs:
        raise AssertionError("no client is needed without an s3:// source")

    assert [each.source for each in AnyInputs(LocalInputs(), never).find(["a"]).objects] == ["a"]
    code = "import sys, s3mr.adapters.files.file_inputs, s3mr.adapters.all_inputs; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_files_and_objects_keep_the_order_of_the_arguments() -> None:
    for name in ("a", "b", "s3:/in/c"):
        put(name)

    class LeftoverFiles(LocalInputs):
        """In place of S3: `s3://in/c` is also a valid path."""

    found = AnyInputs(LocalInputs(), LeftoverFiles).find(["b", "s3://in/c", "./b", "a"])
    assert [each.source for each in found.objects] == ["b", "s3://in/c", "a"]
