"""If a machine lacks resources or user code ends the command, it reports an error and leaves nothing behind."""

import itertools
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s3mr.adapters.exhaustion import DESCRIPTORS_A_WORKER, DESCRIPTORS_MIN
from tests.integration.conftest import RUN_S_MAX, Finished, parts_of
from tests.integration.test_processes import GONE_S_MAX, until
from tests.warm_commands import S3MR

JOB = "job = Job(map=lambda source, line: [(line, 1)], reduce=lambda key, values: [(key, sum(values))])"
# One user for each test: the system counts processes per user, and those of the previous test may still be ending.
OTHERS_UIDS = itertools.count(20_000 + os.getpid() * 16 % 40_000)
MAIN = "from s3mr.cli.main import main; main()"
PYTHONS = [python for python in (sys.executable, "/usr/bin/python3") if Path(python).exists()]
ROOT = Path(__file__).parents[2]
# Becomes another user: process limits do not apply to root.
AS_ANOTHER = """
import os, resource, sys
uid, processes = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
os.setgroups([]); os.setgid(uid); os.setuid(uid)
os.execv(sys.argv[3], sys.argv[3:])
"""


def limited(folder: Path, descriptors: int, *options: str) -> Finished:
    """Run the job in ``folder`` with at most ``descriptors`` open files."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    (folder / "in.txt").write_text("a\nb\n")
    return subprocess.run(
        [S3MR, "run", "job.py", "in.txt", "--output", "out", *options],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        timeout=RUN_S_MAX,
        check=False,
        preexec_fn=limit,
    )


def assert_nothing_left(folder: Path) -> None:
    until(lambda: not list((folder / "tmp").iterdir()), "no temporary file is left", GONE_S_MAX)
    assert not list(folder.glob(".*.s3mr-*"))
    assert not (folder / "out").exists()


@pytest.mark.parametrize("descriptors", [8, DESCRIPTORS_MIN - 1])
def test_too_few_open_files_are_refused_with_the_number_needed(
    job_file: Callable[..., Path], tmp_path: Path, descriptors: int
) -> None:
    job_file(JOB)
    refused = limited(tmp_path, descriptors)
    assert refused.returncode == 2
    assert f"too few open files are allowed here: {descriptors}".encode() in refused.stderr
    assert f"ulimit -n {DESCRIPTORS_MIN}".encode() in refused.stderr
    assert b"Traceback" not in refused.stderr
    assert_nothing_left(tmp_path)


def test_the_advised_number_of_open_files_is_enough(job_file: Callable[..., Path], tmp_path: Path) -> None:
    job_file(JOB)
    workers = 4
    enough = DESCRIPTORS_MIN + DESCRIPTORS_A_WORKER * (workers - 1)
    options = ("--workers", str(workers), "--split-size", "1", "--reducers", "4", "--quiet")
    refused = limited(tmp_path, enough - 1, *options)
    assert (refused.returncode, f"{workers} workers need {enough}".encode() in refused.stderr) == (2, True)
    assert_nothing_left(tmp_path)
    done = limited(tmp_path, enough, *options)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(line for part in parts_of(tmp_path / "out") for line in part) == ["a\t1", "b\t1"]


class Another:
    """Another user of this machine, with their own folder and a Python that can import s3mr."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._uid = next(OTHERS_UIDS)
        paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(paths),
            "TMPDIR": str(folder / "tmp"),
        }
        self.python = next((one for one in PYTHONS if self.s3mr(100, "--version", python=one).returncode == 0), None)

    def s3mr(self, processes: int, *arguments: str, python: str | None = None) -> Finished:
        """Run ``s3mr`` with a limit of processes; threads count as processes."""
        limits = [sys.executable, "-c", AS_ANOTHER, str(self._uid), str(processes)]
        return subprocess.run(
            [*limits, python or self.python or "", "-P", "-c", MAIN, *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            timeout=RUN_S_MAX,
            check=False,
        )


@pytest.fixture
def another() -> Iterator[Another]:
    if os.getuid() != 0:
        pytest.skip("acts as another user: run as root")
    with tempfile.TemporaryDirectory(prefix="others-") as name:  # not in `tmp_path`, which is private
        folder = Path(name)
        (folder / "tmp").mkdir()
        for path in (folder, folder / "tmp"):
            path.chmod(0o777)
        (folder / "job.py").write_text(f"from s3mr import Job\n{JOB}\n")
        (folder / "in.txt").write_text("a\nb\n")
        made = Another(folder)
        if made.python is None:
            pytest.skip("another user cannot run any Python that can import s3mr")
        yield made


@pytest.mark.parametrize("processes", [1, 3, 6, 11])
def test_too_few_processes_end_the_command_with_advice(another: Another, processes: int) -> None:
    ended = another.s3mr(processes, "run", "job.py", "in.txt", "--output", "out")
    assert ended.returncode in (1, 2)
    assert b"ulimit -u" in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert_nothing_left(another.folder)


ENDS = {
    "os._exit": ("import os; os._exit(0)", "os._exit"),
    "posix._exit": ("from posix import _exit; _exit(0)", "os._exit"),
    "another program in its place": ("import os; os.execlp('true', 'true')", "os.exec"),
    "sys.exit": ("import sys; sys.exit(0)", "SystemExit"),
    "os._exit in a function": ("from os import _exit as leave\nleave(0)", "os._exit"),
}


@pytest.mark.parametrize(("code", "named"), ENDS.values(), ids=ENDS)
def test_a_job_file_that_ends_the_command_on_import_is_named_in_an_error(
    s3mr: Callable[..., Finished], tmp_path: Path, code: str, named: str
) -> None:
    (tmp_path / "job.py").write_text(f"{code}\n")
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "tmp").mkdir()
    ended = s3mr("run", "job.py", "in.txt", "--output", "out", TMPDIR=str(tmp_path / "tmp"))
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"job.py" in ended.stderr
    assert named.encode() in ended.stderr
    assert_nothing_left(tmp_path)


def test_a_process_forked_while_the_job_file_is_imported_may_call_os_exit(
    s3mr: Callable[..., Finished], job_file: Callable[..., Path], tmp_path: Path
) -> None:
    job_file("import os\nif os.fork() == 0: os._exit(0)\nos.wait()\njob = Job(map=lambda source, line: [(line, 1)])")
    (tmp_path / "in.txt").write_text("a\n")
    done = s3mr("run", "job.py", "in.txt", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\t1\n", b"")
