"""User code that changes its whole process: file modes stay correct, and no record is lost silently."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import Finished

LINES = "one two\ntwo three\nthree one\n"
REPLACED = {
    "sorted": "builtins.sorted = lambda *a, **k: []",
    "len": "builtins.len = lambda _: 0",
    "zip": "builtins.zip = lambda *a, **k: iter(())",
    "range": "builtins.range = lambda *a: iter(())",
    "list": "builtins.list = lambda *a: []",
    "map": "builtins.map = lambda *a: iter(())",
    "min": "builtins.min = max",
    "sum": "builtins.sum = lambda *a: 7",
    "dict": "builtins.dict = None",
    "type": "builtins.type = lambda *a: int",
    "isinstance": "builtins.isinstance = lambda *a: False",
    "ValueError": "del builtins.ValueError",
}
CODE = """
    import builtins
    {at_import}
    def words(source, line):
        {in_map}
        for word in line.split():
            yield word, 1
    def total(word, ones):
        one = 0
        for each in ones:
            one += each
        yield word, one
    job = Job(map=words, reduce=total)
"""
AT_IMPORT, IN_MAP = CODE.format(at_import="{}", in_map="pass"), CODE.format(at_import="", in_map="{}")


@pytest.fixture
def s3mr(s3mr_at_services: Callable[..., Finished]) -> Callable[..., Finished]:
    return s3mr_at_services


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text(LINES)
    return path


@pytest.mark.parametrize("name", ["sorted", "len"])
def test_a_module_that_replaces_a_builtin_is_refused_by_name(
    s3mr: Callable[..., Finished], job_file: Callable[..., Path], text: Path, tmp_path: Path, name: str
) -> None:
    ended = s3mr("run", job_file(AT_IMPORT.format(REPLACED[name])), text, "--output", tmp_path / "out")
    assert ended.returncode == 2
    assert f"has replaced builtins.{name}" in ended.stderr.decode()
    assert b"Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["sorted", "zip", "dict"])
def test_a_function_that_replaces_a_builtin_fails_its_job_by_name(
    s3mr: Callable[..., Finished], job_file: Callable[..., Path], text: Path, tmp_path: Path, name: str
) -> None:
    ended = s3mr("run", job_file(IN_MAP.format(REPLACED[name])), text, "--output", tmp_path / "out", "--reducers", "1")
    assert ended.returncode == 1
    assert f"has replaced builtins.{name}" in ended.stderr.decode()
    assert not (tmp_path / "out").exists()


def test_user_code_may_replace_print(
    s3mr: Callable[..., Finished], job_file: Callable[..., Path], text: Path, tmp_path: Path
) -> None:
    job = job_file(AT_IMPORT.format("builtins.print = lambda *a: None; builtins.tell = print"))
    assert s3mr("run", job, text, "--output", tmp_path / "out", "--reducers", "1").returncode == 0
    assert (tmp_path / "out" / "part-00000").read_text() == "one\t2\nthree\t2\ntwo\t2\n"


@pytest.mark.parametrize("where", [AT_IMPORT, IN_MAP], ids=["at-import", "in-map"])
@pytest.mark.parametrize("reduce", [True, False], ids=["reduce", "map-only"])
def test_a_umask_set_by_user_code_does_not_change_the_modes_of_the_output(
    s3mr: Callable[..., Finished],
    job_file: Callable[..., Path],
    text: Path,
    tmp_path: Path,
    where: str,
    reduce: bool,  # noqa: FBT001 - a parameter
) -> None:
    code = where.format("import os; os.umask(0o777)")
    if not reduce:
        code = code.replace(", reduce=total", "")
    (tmp_path / "like").touch()
    (tmp_path / "folder").mkdir()
    ended = s3mr("run", job_file(code), text, "--output", tmp_path / "out", "--split-size", "1MiB", "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    made = list((tmp_path / "out").iterdir())
    assert len(made) >= 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {stat.S_IMODE((tmp_path / "like").stat().st_mode)}
    folder = stat.S_IMODE((tmp_path / "folder").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == folder
