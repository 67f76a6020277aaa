"""Behavior of folder outputs only: atomic replacement, full disks, missing permissions."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from s3mr import limits
from s3mr.adapters.files.folder_output import FolderOutput, FolderPartWriter
from s3mr.adapters.output_names import normal_output
from s3mr.errors import InvariantError, RequestError, S3mrError
from s3mr.model.manifest import Part

WORKER = "0123456789abcdef"


def written(output: FolderOutput, name: str, data: bytes = b"x") -> None:
    writer = output.open_part(name, worker=WORKER, announce=len)
    writer.write(data)
    output.complete(writer.finish(records=1))


def test_the_whole_output_appears_by_one_rename(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    written(output, "part-00000")
    assert not (tmp_path / "out").exists()
    output.publish(b"{}", {"part-00000"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["_SUCCESS", "out", "part-00000"]


def test_an_empty_folder_is_replaced_even_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    output = FolderOutput(Path(normal_output(str(tmp_path / "out"))), "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    written(output, "part-00000")
    output.publish(b"{}", {"part-00000"})
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real/part-00000").read_bytes() == b"x"


def test_a_relative_name_with_a_trailing_slash_is_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert FolderOutput(Path("out/"), "j").staging == tmp_path.resolve() / ".out.s3mr-j"


def test_a_folder_that_was_filled_meanwhile_is_not_touched_and_our_files_are_removed(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    written(output, "part-00000")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/theirs").touch()
    with pytest.raises(InvariantError, match="another process wrote"):
        output.publish(b"{}", {"part-00000"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "theirs"]


def test_an_output_whose_folder_was_removed_is_lost(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    output.withdraw([])
    with pytest.raises(InvariantError, match="lost"):
        output.publish(b"{}", ())


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(RequestError, match="not a folder"):
        FolderOutput(tmp_path / "out", "job-1").check(deadline_s=limits.DEADLINE_S)
    with pytest.raises(RequestError, match="Not a directory"):
        FolderOutput(tmp_path / "out/below", "job-1").check(deadline_s=limits.DEADLINE_S)


def test_a_link_to_itself_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RequestError, match="is a link"):
        FolderOutput(Path(normal_output(str(tmp_path / "loop"))), "job-1").check(deadline_s=limits.DEADLINE_S)
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_mount_point_is_refused_because_it_cannot_be_renamed() -> None:
    with pytest.raises(RequestError, match="mount point"):
        FolderOutput(Path("/"), "job-1").check(deadline_s=limits.DEADLINE_S)


def test_a_folder_without_write_permission_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from s3mr.adapters.files.folder_output import FolderOutput\n"
        "from s3mr.errors import RequestError\n"
        "os.getuid() or os.setuid(65534)\n"
        "try: FolderOutput(Path(sys.argv[1]), 'job-1').check(deadline_s=1.0)\n"
        "except RequestError as error: sys.exit(str(error))\n"
    )
    target = str(tmp_path / "locked/out")
    done = subprocess.run([sys.executable, "-c", code, target], capture_output=True, text=True, check=False)
    assert done.stderr.startswith(f"permission denied: output {os.path.realpath(target)}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("size", [1, 10_000_000])
def test_a_full_disk_is_reported_and_the_partial_file_is_removed(tmp_path: Path, size: int) -> None:
    partial = tmp_path / f"part-00000.{WORKER}"
    partial.touch()
    full = Path("/dev/full").open("wb")  # noqa: SIM115 - the writer closes it
    writer = FolderPartWriter(full, partial, name="part-00000", worker=WORKER)
    with pytest.raises(RequestError, match=r"disk full: writing .*part-00000"):  # noqa: PT012 - either may refuse
        writer.write(bytes(size))
        writer.finish(records=1)
    assert not partial.exists()


@pytest.mark.parametrize("upload", ["../../../etc/passwd", f"part-00001.{WORKER}", "part-00000", "/etc/passwd", ""])
def test_a_report_cannot_make_the_commit_complete_another_file(tmp_path: Path, upload: str) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    writer = output.open_part("part-00000", worker=WORKER, announce=len)
    part = writer.finish(records=0)
    with pytest.raises(InvariantError, match="not its worker's"):
        output.complete(part.model_copy(update={"upload": upload}))
    with pytest.raises(InvariantError, match="not the name of a part"):
        output.complete(part.model_copy(update={"name": "../part-00000", "upload": f"../part-00000.{WORKER}"}))


def test_a_part_with_another_length_than_reported_is_not_completed(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    part = output.open_part("part-00000", worker=WORKER, announce=len).finish(records=0)
    with pytest.raises(InvariantError, match="5 bytes"):
        output.complete(part.model_copy(update={"size_bytes": 5}))


def test_publishing_again_removes_a_zombies_file_from_the_output(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    output.publish(b"{}", ())
    (tmp_path / f"out/part-00000.{WORKER}").touch()
    output.publish(b"{}", ())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_SUCCESS"]


def test_a_zombies_file_is_not_published(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    output.open_part("part-00000", worker=WORKER, announce=len).finish(records=0)
    output.publish(b"{}", ())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_SUCCESS"]


def test_files_that_user_code_writes_into_the_staging_folder_are_not_published(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    written(output, "part-00000")
    (output.staging / "part-00077").write_text("forged")
    (output.staging / "part-00001").symlink_to("/etc/hostname")
    (output.staging / "_SUCCESS").mkdir()
    (output.staging / "deep" / "er").mkdir(parents=True)
    (output.staging / "deep" / "er" / "x").touch()
    output.publish(b"{}", {"part-00000"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["_SUCCESS", "out", "part-00000"]


@pytest.mark.parametrize("replaced", [False, True])
def test_an_output_with_a_removed_part_is_not_published(tmp_path: Path, *, replaced: bool) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    written(output, "part-00000")
    (output.staging / "part-00000").unlink()
    if replaced:
        (output.staging / "part-00000").symlink_to("/etc/hostname")
    with pytest.raises(InvariantError, match="part-00000 is gone"):
        output.publish(b"{}", {"part-00000"})
    assert not output.target.exists()


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("lay", [os.mkfifo, Path.mkdir, link_to_zeros])
def test_a_commit_fails_at_once_if_the_name_of_a_part_is_not_a_file(
    tmp_path: Path, lay: Callable[[Path], object]
) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    part = output.open_part("part-00000", worker=WORKER, announce=len).finish(records=0)
    lay(output.staging / "part-00000")
    with pytest.raises(InvariantError, match="not a regular file"):
        output.complete(part)


@pytest.mark.parametrize("link", [False, True])
def test_a_replaced_staging_folder_is_removed_without_following_links(tmp_path: Path, *, link: bool) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / f"part-00000.{WORKER}").write_text("x")
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    writer = output.open_part("part-00000", worker=WORKER, announce=len)
    writer.write(b"x")
    part = writer.finish(records=1)
    output.staging.rename(tmp_path / "moved")
    if link:
        output.staging.symlink_to("theirs")
    else:
        output.staging.touch()
    with pytest.raises(S3mrError):
        output.complete(part)
    with pytest.raises(S3mrError):
        output.publish(b"{}", {"part-00000"})
    output.discard_open([])
    output.withdraw([])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved", "theirs"]
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == [f"part-00000.{WORKER}"]


def test_a_link_that_replaces_the_target_while_the_job_runs_is_not_followed(tmp_path: Path) -> None:
    worker = FolderOutput(tmp_path / "out", "job-1")
    worker.check(deadline_s=limits.DEADLINE_S)
    part = worker.open_part("part-00000", worker=WORKER, announce=len).finish(records=0)
    (tmp_path / "other").mkdir()
    (tmp_path / "out").symlink_to("other")
    coordinator = FolderOutput(tmp_path / "out", "job-1")
    coordinator.complete(part)
    with pytest.raises(InvariantError, match="another process wrote"):
        coordinator.publish(b"{}", {"part-00000"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync: of a file with this many bytes, or of a folder with these names."""

    inode: int
    holds: int | tuple[str, ...]
    published: bool  # whether the output existed by then


@pytest.fixture
def syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sync]:
    """Record what this process syncs, with its content at that moment."""
    seen: list[Sync] = []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        found = os.fstat(descriptor)
        names = tuple(sorted(os.listdir(descriptor))) if stat.S_ISDIR(found.st_mode) else found.st_size
        seen.append(Sync(found.st_ino, names, (tmp_path / "out").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    return seen


def test_a_part_is_durable_before_it_is_reported(tmp_path: Path, syncs: list[Sync]) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    writer = output.open_part("part-00000", worker=WORKER, announce=len)
    writer.write(b"content")
    writer.finish(records=1)
    inode = writer.path.stat().st_ino
    assert syncs == [Sync(inode, len(b"content"), published=False)]


def test_the_whole_output_is_durable_before_it_appears_and_its_name_once_it_is_published(
    tmp_path: Path, syncs: list[Sync]
) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    written(output, "part-00000")
    output.publish(b"{}", {"part-00000"})
    inodes = [(tmp_path / name).stat().st_ino for name in ("out/part-00000", "out/_SUCCESS", "out", ".")]
    assert syncs == [
        Sync(inodes[0], 1, published=False),
        Sync(inodes[1], 2, published=False),
        Sync(inodes[2], ("_SUCCESS", "part-00000"), published=False),
        Sync(inodes[3], ("out",), published=True),
    ]


def test_two_concurrent_coordinators_publish_one_output_and_neither_fails(tmp_path: Path) -> None:
    for number in range(20):
        target = tmp_path / f"out-{number}"
        workers = FolderOutput(target, "job-1")
        workers.check(deadline_s=limits.DEADLINE_S)
        parts = []
        for part in range(40):
            writer = workers.open_part(f"part-{part:05d}", worker=WORKER, announce=len)
            writer.write(b"x")
            parts.append(writer.finish(records=1))

        def commit(target: Path = target, parts: Sequence[Part] = parts) -> None:
            output = FolderOutput(target, "job-1")
            for part in parts:
                output.complete(part)
            output.publish(b"{}", {part.name for part in parts})

        with ThreadPoolExecutor(2) as pool:
            for committing in [pool.submit(commit), pool.submit(commit)]:
                committing.result()
        assert len(list(target.iterdir())) == 41
        assert not workers.staging.exists()


def test_a_staging_folder_recreated_beside_a_published_output_is_removed(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path / "out", "job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    writer = output.open_part("part-00000", worker=WORKER, announce=len)
    part = writer.finish(records=0)
    output.complete(part)
    output.publish(b"{}", {"part-00000"})
    output.staging.mkdir()  # by a coordinator that had looked just before
    output.complete(part)
    output.publish(b"{}", {"part-00000"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["_SUCCESS", "out", "part-00000"]
