"""Only the folder of a printed output is removed, and no other folder that a job's record may name."""

import os
from pathlib import Path

import pytest

from s3mr.adapters.files.temporary_output import TEMPORARY_OUTPUT, temporary_folder_of
from s3mr.api import Job
from s3mr.model.job import JobSpec
from tests.world import World


@pytest.fixture
def spec() -> JobSpec:
    made = World(Job(map=lambda _, line: [(line, 1)]), {"a.txt": b"x\n"})
    return made.submit().spec.model_copy(update={"printed": True})


def at(spec: JobSpec, folder: Path) -> JobSpec:
    return spec.model_copy(update={"output": str(folder / "output")})


def test_the_folder_that_a_command_created_for_the_output_is_removed(spec: JobSpec, tmp_path: Path) -> None:
    folder = tmp_path / f"{TEMPORARY_OUTPUT}-1"
    folder.mkdir(mode=0o700)
    assert temporary_folder_of(at(spec, folder)) == folder
    assert temporary_folder_of(at(spec, folder).model_copy(update={"printed": False})) is None


def test_any_other_folder_is_kept(spec: JobSpec, tmp_path: Path) -> None:
    shared, theirs, gone = (tmp_path / f"{TEMPORARY_OUTPUT}-{name}" for name in ("shared", "theirs", "gone"))
    shared.mkdir(mode=0o755)
    (tmp_path / "mine").mkdir(mode=0o700)
    theirs.symlink_to(tmp_path / "mine")
    for folder in (shared, theirs, gone, tmp_path / "mine"):
        assert temporary_folder_of(at(spec, folder)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder to somebody else")
def test_another_users_folder_is_kept(spec: JobSpec, tmp_path: Path) -> None:
    folder = tmp_path / f"{TEMPORARY_OUTPUT}-1"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    assert temporary_folder_of(at(spec, folder)) is None
