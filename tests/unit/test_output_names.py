"""Each output has one normal name: claims are keyed by it."""

import os
from pathlib import Path

import pytest

from s3mr.adapters.output_names import normal_output
from s3mr.errors import RequestError


@pytest.mark.parametrize("spelled", ["s3://bkt/out", "s3://bkt/out/", "s3://bkt/out//"])
def test_a_prefix_has_one_name(spelled: str) -> None:
    assert normal_output(spelled) == "s3://bkt/out"


@pytest.mark.parametrize("spelled", ["s3://bkt", "s3://bkt/", "s3://bkt//"])
def test_a_whole_bucket_has_one_name(spelled: str) -> None:
    assert normal_output(spelled) == "s3://bkt/"


def test_case_matters_in_a_prefix() -> None:
    assert normal_output("s3://bkt/Out") != normal_output("s3://bkt/out")


@pytest.mark.parametrize("prefix", ["/out", "a//b", "a/./b", "a/../out", "..", ".", "a/b/..", "./out"])
def test_a_prefix_that_most_tools_would_change_is_refused(prefix: str) -> None:
    with pytest.raises(RequestError, match="without empty names"):
        normal_output(f"s3://bkt/{prefix}")


@pytest.mark.parametrize("dots", ["...", ".out", "out.", "a/..b/c..d"])
def test_dots_in_a_name_are_ordinary_characters(dots: str) -> None:
    assert normal_output(f"s3://bkt/{dots}/") == f"s3://bkt/{dots}"


@pytest.mark.parametrize("spelled", ["out", "out/", "./out", "out//", "link/../real/out", "real/out", "link/out", "to"])
def test_a_folder_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "to").symlink_to("real/out")  # which does not exist yet
    inside = spelled.startswith(("out", "./"))
    monkeypatch.chdir(tmp_path / "link" if inside else tmp_path)
    assert normal_output(spelled) == os.path.realpath(tmp_path / "real/out")


def test_a_home_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert normal_output("~/out") == os.path.realpath(tmp_path / "out")


@pytest.mark.parametrize(
    "given",
    ["", "a\0b", "gs://b/x", "S3://b/x", "S3A://b/x", "s3a://b/x", "s3:b/x", "s3:/b/x", "https://b/x", "file:/x"],
)
def test_a_name_that_is_neither_a_folder_nor_a_prefix_is_refused(given: str) -> None:
    with pytest.raises(RequestError, match="--output"):
        normal_output(given)


def test_a_missing_current_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(RequestError, match="the current folder"):
        normal_output("out")
