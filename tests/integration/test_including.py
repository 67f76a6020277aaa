"""``--include``: files and folders that travel with a job's code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import Finished

LOOKING_UP = """
    from pathlib import Path

    from s3mr import Job

    NAMES = dict(line.split() for line in (Path(__file__).parent / "tables/names.txt").read_text().splitlines())

    def named(source, line):
        from elsewhere import punctuated
        yield NAMES[line], punctuated(line)

    job = Job(map=named)
"""


def test_a_job_finds_included_data_beside_its_file_and_included_code_on_its_path(
    s3mr: Callable[..., Finished],
    job_file: Callable[..., Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    job_file(LOOKING_UP)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/names.txt").write_text("1 one\n2 two\n")
    library = tmp_path_factory.mktemp("library") / "elsewhere.py"
    library.write_text("def punctuated(text):\n    return text + '!'\n")
    (tmp_path / "in.txt").write_text("2\n1\n")
    alone = s3mr("run", "job.py", "in.txt", "--include", "tables")
    assert alone.returncode == 1
    assert b"No module named 'elsewhere'" in alone.stderr
    done = s3mr("run", "job.py", "in.txt", "--include", "tables", "--include", library)
    assert done.stdout == b"two\t2!\none\t1!\n"


def test_a_missing_include_is_refused_before_anything_starts(
    s3mr: Callable[..., Finished], job_file: Callable[..., Path], tmp_path: Path
) -> None:
    job_file(LOOKING_UP)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/names.txt").write_text("1 one\n")
    (tmp_path / "in.txt").write_text("1\n")
    done = s3mr("run", "job.py", "in.txt", "--include", "missing")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--include missing: there is no such file or folder" in done.stderr
