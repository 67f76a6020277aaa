"""Where a job's code lies, what of it is bundled, and how it is imported again."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from s3mr import Job, params
from s3mr.errors import RequestError
from s3mr.importing import import_from, under_way
from s3mr.loading import Code, code_in, locate
from s3mr.parameters import set_parameters

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
        path = folder / f"{name.replace('0', '/')}.py"  # 0 stands for a folder in an argument's name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_job_is_found_by_the_name_of_its_global() -> None:
    code = locate(JOB)
    assert code.name == "JOB"
    place = code.module.removesuffix(".py").replace(".", "/")
    assert (code.root / place).with_suffix(".py") == Path(__file__)


def test_a_job_that_is_no_global_is_refused() -> None:
    with pytest.raises(RequestError, match="global of a module"):
        locate(Job(map=JOB.map))


def test_a_module_without_a_file_is_refused_with_advice_for_notebooks() -> None:
    with pytest.raises(RequestError, match="%%writefile"):
        code_in(ModuleType("cell"), "job")


def test_the_job_file_alone_is_bundled_where_it_imports_nothing_from_its_folder(tmp_path: Path) -> None:
    folder = write(tmp_path, lone_job="import json\njob = 1\n", unrelated="")
    module = import_from(folder, "lone_job.py")
    code = Code(folder, "lone_job.py", "job")
    assert set(code.files()) == {"lone_job.py"}
    assert code_in(module, "job") == Code(folder, "lone_job", "job")


def test_siblings_that_were_imported_are_bundled_and_packages_whole(tmp_path: Path) -> None:
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
    import_from(folder, "a_job.py")
    assert set(Code(folder, "a_job.py", "job").files()) == {
        *("a_job.py", "a_sibling.py", "a_package/__init__.py"),
        *("a_package/inner.py", "a_package/other.py", "a_package/data.txt"),
    }


def test_s3mr_itself_and_installed_packages_stay_out() -> None:
    root = Path(__file__).parents[2]
    files = Code(root, "examples/wordcount.py", "wordcount").files()
    assert not [name for name in files if name.startswith(("s3mr/", ".venv/"))]


def test_a_module_in_a_package_is_imported_by_its_dotted_name(tmp_path: Path) -> None:
    folder = write(tmp_path, deep0__init__="", deep0inner="from deep import __name__ as parent\njob = parent\n")
    module = import_from(folder, "deep.inner")
    assert module.job == "deep"
    assert code_in(module, "job") == Code(folder, "deep.inner", "job")


@pytest.mark.parametrize("name", ["json.py", "word-count.py", "1.py"])
def test_a_file_of_any_name_is_imported_and_shadows_nothing_loaded(tmp_path: Path, name: str) -> None:
    import json

    (tmp_path / name).write_text("value = 5\n")
    assert import_from(tmp_path, name).value == 5
    assert sys.modules["json"] is json


def test_a_module_knows_while_it_is_being_imported(tmp_path: Path) -> None:
    write(tmp_path, asking="from s3mr.importing import under_way\nseen = under_way()\n")
    assert import_from(tmp_path, "asking.py").seen is True
    assert under_way() is False


def test_a_module_that_raises_is_not_left_half_imported(tmp_path: Path) -> None:
    write(tmp_path, half="1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        import_from(tmp_path, "half.py")
    assert "half" not in sys.modules
    assert under_way() is False


def test_parameters_are_a_mapping_that_says_what_is_missing() -> None:
    set_parameters({"x": "1"})
    assert dict(params) == {"x": "1"}
    with pytest.raises(KeyError, match="--param y=VALUE"):
        params["y"]
    set_parameters({})
    assert len(params) == 0
