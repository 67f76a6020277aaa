"""How a job's code is found, which files are bundled, and how it is imported again."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from s3mr import Job, params
from s3mr.errors import RequestError
from s3mr.usercode.imports import forget, import_from, is_importing
from s3mr.usercode.location import Code, code_in, locate
from s3mr.usercode.parameters import combined, set_parameters

JOB = Job(map=lambda source, line: [(source, line)])


@pytest.fixture(autouse=True)
def _imports_are_undone() -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path
    set_parameters({})


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('0', '/')}.py"  # 0 marks a folder in an argument's name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_job_is_found_by_the_name_of_its_global() -> None:
    code = locate(JOB)
    assert code.name == "JOB"
    place = code.module.removesuffix(".py").replace(".", "/")
    assert (code.root / place).with_suffix(".py") == Path(__file__)


def test_a_job_that_is_not_a_global_is_refused() -> None:
    with pytest.raises(RequestError, match="global of a module"):
        locate(Job(map=JOB.map))


def test_a_module_without_a_file_is_refused_with_advice_for_notebooks() -> None:
    with pytest.raises(RequestError, match="%%writefile"):
        code_in(ModuleType("cell"), "job")


def test_only_the_job_file_is_bundled_if_it_imports_nothing_from_its_folder(tmp_path: Path) -> None:
    folder = write(tmp_path, lone_job="import json\njob = 1\n", unrelated="")
    module = import_from(folder, "lone_job.py")
    code = Code(folder, "lone_job.py", "job")
    assert set(code.files()) == {"lone_job.py"}
    assert code_in(module, "job") == Code(folder, "lone_job", "job")


def test_imported_siblings_are_bundled_and_packages_as_a_whole(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        a_job="import a_sibling\nfrom a_package import inner\n",
        a_sibling="",
        a_package0__init__="",
        a_package0inner="",
        a_package0other="",
        unrelated="",
    )
    (folder / "a_package/data.txt").write_text("data")
    os.mkfifo(folder / "a_package/pipe")
    (folder / "a_package/endless").symlink_to("/dev/zero")
    (folder / "a_package/nowhere").symlink_to("gone")
    import_from(folder, "a_job.py")
    assert set(Code(folder, "a_job.py", "job").files()) == {
        *("a_job.py", "a_sibling.py", "a_package/__init__.py"),
        *("a_package/inner.py", "a_package/other.py", "a_package/data.txt"),
    }


@pytest.fixture
def job_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a job, with files in it and beside it. The current folder is its parent."""
    root = write(tmp_path / "root", a_job="job = 1\n")
    for name in (
        "root/data.json",
        "root/sub/deep/x.csv",
        "root/sub/.hidden",
        "root/sub/__pycache__/x.pyc",
        "tables/t.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "root/sub/.git").mkdir()
    (tmp_path / "root/sub/.git/config").touch()
    monkeypatch.chdir(tmp_path)
    return root


def included(root: Path, *include: str) -> dict[str, str]:
    """Return the names that including these paths adds, with what each refers to."""
    files = Code(root, "a_job.py", "job").files([Path(one) for one in include])
    assert files.pop("a_job.py") == root / "a_job.py"
    return {name: path.read_text() for name, path in files.items()}


@pytest.mark.parametrize("relative", [False, True])
def test_an_included_path_below_the_root_keeps_its_path(job_root: Path, relative: bool) -> None:  # noqa: FBT001
    root = Path("tables/../root").absolute() if relative else job_root
    expected = {"data.json": "root/data.json", "sub/deep/x.csv": "root/sub/deep/x.csv"}
    assert included(root, "root/data.json", "root/sub/") == expected
    assert included(root, str(job_root / "data.json"), "tables/../root/sub") == expected


def test_an_included_path_from_elsewhere_gets_its_own_name(job_root: Path) -> None:
    assert included(job_root, "tables") == {"tables/t.csv": "tables/t.csv"}
    assert included(job_root, "tables/t.csv") == {"t.csv": "tables/t.csv"}


def test_a_hidden_path_is_included_if_it_is_named(job_root: Path) -> None:
    assert set(included(job_root, "root/sub/.hidden", "root/sub/.git")) == {"sub/.hidden", "sub/.git/config"}


def test_the_root_itself_can_be_included(job_root: Path) -> None:
    assert set(included(job_root, "root")) == {"data.json", "sub/deep/x.csv"}


def test_links_to_folders_are_followed_and_loops_end(job_root: Path) -> None:
    (job_root / "sub/tables").symlink_to("../../tables")
    (job_root / "sub/loop").symlink_to("..")
    assert set(included(job_root, "root/sub")) == {
        *("sub/deep/x.csv", "sub/tables/t.csv", "sub/loop/a_job.py", "sub/loop/data.json")
    }


def test_files_and_folders_are_sorted_by_name(job_root: Path) -> None:
    for name in ("sub/deep.csv", "sub/deep/y/z", "sub/a"):
        (job_root / name).parent.mkdir(exist_ok=True)
        (job_root / name).touch()
    assert list(included(job_root, "root/sub")) == ["sub/a", "sub/deep/x.csv", "sub/deep/y/z", "sub/deep.csv"]


def test_folders_may_be_nested_deeper_than_pythons_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    deep = Path("deep", *["d"] * 400)  # as many as recursive functions can still remove
    deep.mkdir(parents=True)
    for file in (tmp_path / "a_job.py", deep / "x"):
        file.touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(350)
    try:
        assert list(included(tmp_path, "deep")) == [f"{deep}/x"]
    finally:
        sys.setrecursionlimit(limit)


def test_a_link_from_outside_to_below_the_root_is_resolved(job_root: Path) -> None:
    Path("alias").symlink_to("root")
    assert included(job_root, "alias/data.json") == {"data.json": "root/data.json"}


def test_including_a_file_twice_or_an_imported_file_is_not_a_collision(job_root: Path) -> None:
    assert included(job_root, "root/data.json", "root/data.json", "root/a_job.py") == {"data.json": "root/data.json"}
    Path("data.json").write_text("root/data.json")
    assert included(job_root, "root/data.json", "data.json") == {"data.json": "root/data.json"}


def test_two_files_with_one_name_are_refused(job_root: Path) -> None:
    Path("data.json").write_text("another")
    with pytest.raises(
        RequestError, match=r"--include data.json: the job's code already has .*root/data.json as data.json"
    ):
        included(job_root, "root/data.json", "data.json")


def test_a_path_that_cannot_be_included_is_refused_by_its_name(job_root: Path) -> None:
    Path("empty").mkdir()
    os.mkfifo("root/sub/pipe")
    for asked, why in (
        ("missing", "there is no such file"),
        ("empty", "all its names begin with a dot"),
        ("root/sub/pipe", "neither a file nor a folder"),
        ("root/sub", "neither a file nor a folder"),
        ("/", "whole file system"),
    ):
        with pytest.raises(RequestError, match=f"--include {asked}: .*{why}"):
            included(job_root, asked)


def test_the_folder_for_requirements_cannot_be_in_the_jobs_own_code(job_root: Path) -> None:
    Path("_requirements").mkdir()
    Path("_requirements/x.py").touch()
    with pytest.raises(RequestError, match="_requirements is reserved for --requirements"):
        included(job_root, "_requirements")


@pytest.mark.parametrize("main", ["bin/s3mr", "src/tool/__main__.py", "lib/python3/site-packages/pytest/__main__.py"])
def test_s3mr_itself_and_the_environment_beside_the_job_are_not_bundled(
    main: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sys.prefix != sys.base_prefix, "these tests run in a virtual environment, as make does it"
    monkeypatch.setattr(sys.modules["__main__"], "__file__", f"{sys.prefix}/{main}", raising=False)
    environment = Path(sys.prefix)
    files = Code(environment.parent, "examples/wordcount.py", "wordcount").files()
    assert not [name for name in files if name.startswith(("s3mr/", f"{environment.name}/"))]


def test_a_job_inside_the_environments_folder_keeps_its_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    folder = write(tmp_path, inside="import beside\njob = beside\n", beside="")
    import_from(folder, "inside")
    assert set(Code(folder, "inside.py", "job").files()) == {"inside.py", "beside.py"}


def test_a_module_in_a_package_is_imported_by_its_dotted_name(tmp_path: Path) -> None:
    folder = write(tmp_path, deep0__init__="", deep0inner="from deep import __name__ as parent\njob = parent\n")
    module = import_from(folder, "deep.inner")
    assert module.job == "deep"
    assert code_in(module, "job") == Code(folder, "deep.inner", "job")


@pytest.mark.parametrize("name", ["json.py", "word-count.py", "1.py"])
def test_a_file_of_any_name_is_imported_and_shadows_no_loaded_module(tmp_path: Path, name: str) -> None:
    import json

    (tmp_path / name).write_text("value = 5\n")
    assert import_from(tmp_path, name).value == 5
    assert sys.modules["json"] is json


def test_a_module_knows_while_it_is_imported(tmp_path: Path) -> None:
    write(tmp_path, asking="from s3mr.usercode.imports import is_importing\nseen = is_importing()\n")
    assert import_from(tmp_path, "asking.py").seen is True
    assert is_importing() is False


def test_a_module_that_raises_is_not_left_half_imported(tmp_path: Path) -> None:
    write(tmp_path, half="1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        import_from(tmp_path, "half.py")
    assert "half" not in sys.modules
    assert is_importing() is False


def test_requirements_are_found_after_the_jobs_own_files_and_before_all_else(tmp_path: Path) -> None:
    write(tmp_path, own_job="import own_first, wanted, json\n", own_first="")
    write(tmp_path / "_requirements", own_first="1 / 0\n", wanted="", json="1 / 0\n")
    module = import_from(tmp_path, "own_job.py")
    assert module.own_first.__file__ == str(tmp_path / "own_first.py")
    assert module.wanted.__file__ == str(tmp_path / "_requirements/wanted.py")
    assert sys.path[:2] == [str(tmp_path), str(tmp_path / "_requirements")]


def test_forgotten_modules_are_imported_again_except_for_requirements(tmp_path: Path) -> None:
    write(tmp_path, a_one="import a_two, a_space.inner, a_wanted\nparent = a_two\n", a_two="", a_space0inner="")
    write(tmp_path / "_requirements", a_wanted="")
    before = import_from(tmp_path, "a_one.py")
    wanted = sys.modules["a_wanted"]
    forget(tmp_path, keep_packages=True)
    assert not {"a_one", "a_two", "a_space", "a_space.inner"} & set(sys.modules)
    after = import_from(tmp_path, "a_one.py")
    assert after.parent is not before.parent
    assert sys.modules["a_wanted"] is wanted
    forget(tmp_path, keep_packages=False)
    assert "a_wanted" not in sys.modules
    assert not [path for path in sys.path if path.startswith(str(tmp_path))]


def test_params_is_a_mapping_whose_errors_name_the_missing_parameter() -> None:
    set_parameters({"x": "1"})
    assert dict(params) == {"x": "1"}
    with pytest.raises(KeyError, match="--param y=VALUE"):
        params["y"]
    set_parameters({})
    assert len(params) == 0


def test_a_module_imported_through_a_path_with_dots_is_found_at_its_real_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with ``../s3mr/.venv/bin/s3mr``: the modules of s3mr are not part of the job."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
    (here / "job.py").write_text("")
    (here / "beside.py").write_text("")
    (elsewhere / "secret.py").write_text("")
    for name, file in {"started": "here/../elsewhere/secret.py", "beside": "elsewhere/../here/beside.py"}.items():
        module = ModuleType(name)
        module.__file__ = f"{tmp_path}/{file}"
        monkeypatch.setitem(sys.modules, name, module)
    assert set(Code(here, "job.py", "job").files()) == {"job.py", "beside.py"}


def test_a_job_that_declares_parameters_accepts_no_others_and_requires_those_without_a_value() -> None:
    assert combined(None, {"x": "1"}) == {"x": "1"}
    assert combined({"x": "0", "y": "0"}, {"x": "1"}) == {"x": "1", "y": "0"}
    with pytest.raises(RequestError, match=r"--param shortist: did you mean shortest\? the job"):
        combined({"shortest": "4", "y": "0"}, {"shortist": "6"})
    with pytest.raises(RequestError, match="--param z: the job declares only x"):
        combined({"x": "0"}, {"z": "1"})
    with pytest.raises(RequestError, match="--param y=VALUE is missing"):
        combined({"x": "0", "y": None}, {"x": "1"})
