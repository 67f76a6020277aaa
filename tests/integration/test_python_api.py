"""`Job.run`, called from a program, a test or a notebook."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from s3mr import Job, JobFailedError, RequestError


def words(source: str, line: str) -> list[tuple[str, int]]:
    del source
    return [(word, 1) for word in line.split()]


def boom(source: str, line: str) -> list[tuple[str, int]]:
    raise ValueError(f"{source}: {line}")


COUNT = Job(map=words, reduce=lambda word, counts: [(word, sum(counts))], reducers=1)
BOOM = Job(map=boom)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("b a b\n")
    return path


def test_run_returns_the_result_and_writes_the_output(text: Path, tmp_path: Path) -> None:
    result = COUNT.run([text], tmp_path / "out", split_size="1KiB", memory=2**24)
    assert list(result.lines()) == ["a\t1", "b\t2"]
    assert result.part_files() == [tmp_path / "out/part-00000"]
    assert (result.counters.records_in, result.counters.records_out) == (1, 2)


def test_without_an_output_the_lines_are_deleted_with_the_result(text: Path) -> None:
    result = COUNT.run(text)
    folder = Path(result.output)
    assert list(result.lines()) == ["a\t1", "b\t2"]
    del result
    gc.collect()
    assert not folder.parent.exists()


def test_a_failure_is_raised_with_the_users_traceback(text: Path, tmp_path: Path) -> None:
    with pytest.raises(JobFailedError, match="ValueError") as raised:
        BOOM.run(text, tmp_path / "out")
    assert "in boom" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_invalid_arguments_raise_a_request_error(text: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        COUNT.run(tmp_path / "missing")
    with pytest.raises(RequestError, match="--split-size"):
        COUNT.run(text, split_size=0)
    with pytest.raises(RequestError, match="global of a module"):
        Job(map=words).run(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"map": lambda line: [line]}, "map is called with"),
        ({"map": words, "reduce": lambda key: key}, "reduce is called with"),
        ({"map": words, "combine": words}, "without reduce"),
        ({"map": words, "reducers": 3}, "without reduce"),
        ({"map": words, "reduce": words, "reducers": 0}, "from 1 to"),
        ({"map": words, "params": {"x": 1}}, "'x'"),
        ({"map": "words"}, "must be a function"),
        ({"map": None}, "must be a function"),
    ],
)
def test_an_invalid_job_is_refused_when_it_is_constructed(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Job(**options)  # type: ignore[arg-type]


SCRIPT = """
from s3mr import Job

def words(source, line):
    return [(word, 1) for word in line.split()]

job = Job(map=words, reduce=lambda word, counts: [(word, sum(counts))], reducers=1)
{guard} print(*job.run("in.txt").lines(), sep="\\n")
"""


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_script_runs_its_own_job(text: Path) -> None:
    (text.parent / "script.py").write_text(SCRIPT.format(guard='if __name__ == "__main__":'))
    done = python("script.py", folder=text.parent)
    assert done.stdout == "a\t1\nb\t2\n", done.stderr


def test_a_script_without_a_main_guard_fails_with_advice(text: Path) -> None:
    (text.parent / "script.py").write_text(SCRIPT.format(guard="if True:"))
    done = python("script.py", folder=text.parent)
    assert '__name__ == "__main__"' in done.stderr
    assert done.stdout == ""


def test_a_job_that_is_not_defined_in_a_file_is_refused_with_advice(text: Path) -> None:
    done = python("-c", SCRIPT.format(guard="if True:"), folder=text.parent)
    assert "%%writefile" in done.stderr
