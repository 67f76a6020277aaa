"""The reaper removes what a command left, even if user code replaced it, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from s3mr.local.reaper_process import remove_folder


def make_folder(path: Path) -> None:
    (path / "deep").mkdir(parents=True)
    (path / "deep/file").touch()


def make_link(path: Path) -> None:
    path.symlink_to("theirs")


@pytest.mark.parametrize("make", [make_folder, make_link, os.mkfifo, Path.touch])
def test_a_file_folder_or_link_at_the_path_is_removed_and_links_are_not_followed(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make_folder(tmp_path / "theirs")
    make(tmp_path / "ours")
    remove_folder(str(tmp_path / "ours"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "file", "theirs"]


@pytest.mark.parametrize("name", ["gone", "gone\0", "x" * 300])
def test_a_missing_path_is_not_an_error(tmp_path: Path, name: str) -> None:
    remove_folder(f"{tmp_path}/{name}")
