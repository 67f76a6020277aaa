"""Errors are reported in a few lines that a user can act on, and leave no partial output."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Finished

Run = Callable[..., Finished]
Write = Callable[..., Path]

FINE = "job = Job(map=lambda source, line: [(line, 1)], reduce=lambda key, values: [(key, sum(values))])\n"


@pytest.fixture
def s3mr(s3mr_at_services: Run) -> Run:
    return s3mr_at_services


@pytest.fixture(autouse=True)
def _text(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("first\nsecond line\nthird\n")


def assert_refused(done: Finished, status: int, *phrases: str, tmp_path: Path) -> None:
    text = done.stderr.decode()
    assert done.returncode == status, text
    assert done.stdout == b""
    for phrase in phrases:
        assert phrase in text
    assert "s3mr/" not in text.replace(str(tmp_path), ""), "the traceback shows frames of s3mr"
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


@pytest.mark.parametrize(
    ("arguments", "phrases"),
    [
        (("job.py", "missing.txt"), ["missing.txt"]),
        (("job.py", "nothing*.txt"), ["nothing*.txt"]),
        (("job.py", "empty"), ["no input"]),
        (("nojob.py", "in.txt"), ["job file nojob.py does not exist"]),
        (("broken.py", "in.txt"), ["broken.py cannot be imported", "SyntaxError", "line 2"]),
        (("raising.py", "in.txt"), ["raising.py cannot be imported", "ZeroDivisionError", "in f"]),
        (("none.py", "in.txt"), ["none.py has no Job"]),
        (("two.py", "in.txt"), ["several jobs", "two.py:a", "a, b"]),
        (("two.py:c", "in.txt"), ["no Job named 'c'", "a, b"]),
        (("no.such.module:job", "in.txt"), ["module no.such.module does not exist"]),
        (("job", "in.txt"), ["FILE.py"]),
        (("arity.py", "in.txt"), ["map is called with (source, record)", "words(line)"]),
        (("job.py", "in.txt", "--reducers", "0"), ["--reducers", "from 1"]),
        (("job.py", "in.txt", "--reducers", "10001"), ["10,000"]),
        (("job.py", "in.txt", "--split-size", "64MB"), ["64MB", "MiB"]),
        (("job.py", "in.txt", "--split-size", "0"), ["0"]),
        (("job.py", "in.txt", "--memory", "1MiB"), ["--memory", "16MiB"]),
        (("job.py", "in.txt", "--attempts", "0"), ["--attempts"]),
        (("job.py", "in.txt", "--task-timeout", "-1"), ["--task-timeout"]),
        (("job.py", "in.txt", "--workers", "0"), ["--workers"]),
        (("job.py", "in.txt", "--input-format", "xml"), ["xml", "text", "whole"]),
        (("job.py", "in.txt", "--param", "novalue"), ["NAME=VALUE"]),
        (("job.py", "in.txt", "--requirements", "none.txt"), ["--requirements none.txt: there is no such file"]),
        (("job.py", "in.txt", "--json"), ["--output"]),
        (("job.py", "in.txt", "--chaos", "crash=2"), ["--chaos"]),
        (("job.py", "huge.txt", "--split-size", "1"), ["100,000", "--split-size"]),
        (("maponly.py", "in.txt", "--reducers", "2"), ["no reduce"]),
        (("job.py", "in.txt", "--output", "full"), ["not empty", "full"]),
        (("job.py", "in.txt", "--output", "in.txt"), ["in.txt"]),
        (("job.py",), ["INPUT"]),
        (("job.py", "in.txt", "--nonsense"), ["--nonsense"]),
    ],
)
def test_invalid_arguments_are_refused_before_anything_starts(
    s3mr: Run, job_file: Write, tmp_path: Path, arguments: tuple[str, ...], phrases: list[str]
) -> None:
    job_file(FINE)
    job_file("job = ((\n", "broken.py")
    job_file("def f():\n    1 / 0\nf()\n", "raising.py")
    job_file("x = 1\n", "none.py")
    job_file(FINE.replace("job", "a", 1) + FINE.replace("job", "b", 1), "two.py")
    job_file("def words(line):\n    yield line, 1\njob = Job(map=words)\n", "arity.py")
    job_file("job = Job(map=lambda source, line: [(line, 1)])\n", "maponly.py")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(10_000_000)
    assert_refused(s3mr("run", *arguments), 2, *phrases, tmp_path=tmp_path)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("code", "phrases"),
    [
        (
            "def words(source, line):\n    if 'second' in line:\n        raise ValueError('boom')\n    yield line, 1\n"
            "job = Job(map=words, reduce=words)\n",
            ["map task 0, attempt 2", "ValueError: boom", "source: in.txt", "'second line'", 'File "job.py", line 4'],
        ),
        ("job = Job(map=lambda source, line: None)\n", ["map returned None", "iterable of pairs", "'first'"]),
        ("job = Job(map=lambda source, line: ['ab'])\n", ["'ab'", "pair"]),
        ("job = Job(map=lambda source, line: [(1, 2, 3)])\n", ["tuple of 3", "pair"]),
        (
            "job = Job(map=lambda s, line: [(line, 1), (1, 1)], reduce=lambda k, v: [])\n",
            ["mixed types", "str and int"],
        ),
        ("job = Job(map=lambda s, line: [(None, 1)], reduce=lambda k, v: [])\n", ["NoneType", "key"]),
        ("job = Job(map=lambda s, line: [(float('nan'), 1)], reduce=lambda k, v: [])\n", ["NaN"]),
        ("job = Job(map=lambda s, line: [([1], 1)], reduce=lambda k, v: [])\n", ["list", "key"]),
        ("job = Job(map=lambda s, line: [(1, {2})], reduce=lambda k, v: [])\n", ["set"]),
        ("job = Job(map=lambda s, line: [(1, [object()])], reduce=lambda k, v: [])\n", ["object", "[0]"]),
        (
            "def reducing(key, values):\n    raise KeyError(key)\n    yield\n"
            "job = Job(map=lambda s, line: [(line, 1)], reduce=reducing, reducers=1)\n",
            ["reduce task 0, attempt 2", "KeyError", "'first'", "in reducing"],
        ),
        ("job = Job(map=lambda s, line: [(1, 1)], reduce=lambda k, v: 5)\n", ["reduce returned a value of type int"]),
        ("import sys\njob = Job(map=lambda s, line: sys.exit('stop'))\n", ["SystemExit: stop"]),
        ("import os\njob = Job(map=lambda s, line: os._exit(7))\n", ["exited with status 7", "4 attempts"]),
        (
            "job = Job(map=lambda s, line: [(1, 1)], reduce=lambda k, v: [], partition=lambda k, r: r, reducers=5)\n",
            ["partition", "4"],
        ),
        (
            "def m(s, line):\n    raise KeyboardInterrupt\njob = Job(map=m)\n",
            ["KeyboardInterrupt", "in.txt", "line 3, in m"],
        ),
        ("def m(s, line):\n    raise MemoryError\njob = Job(map=m)\n", ["MemoryError", "'first'", "line 3, in m"]),
        (
            "import os, sys\ndef m(s, line):\n    if os.fork() == 0:\n        sys.exit(1)\n"
            "    raise ValueError('parent')\n"
            "job = Job(map=m)\n",
            ["ValueError: parent"],
        ),
        (
            "def late(source, line):\n    import missing_module\n    yield line, 1\njob = Job(map=late)\n",
            ["ModuleNotFoundError", "missing_module"],
        ),
    ],
)
def test_an_error_in_a_task_fails_the_job_with_its_context(
    s3mr: Run, job_file: Write, tmp_path: Path, code: str, phrases: list[str]
) -> None:
    job_file(code)
    done = s3mr("run", "job.py", "in.txt", "--output", "out", "--workers", "2")
    assert_refused(done, 1, "the job failed", *phrases, tmp_path=tmp_path)


def test_requirements_without_a_stack_are_ignored_with_a_warning(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(FINE)
    (tmp_path / "needs.txt").write_text("none-such==1\n")
    done = s3mr("run", "job.py", "in.txt", "--output", "out", "--requirements", "needs.txt")
    assert done.returncode == 0, done.stderr.decode()
    warning = (
        "--requirements needs.txt is ignored without --stack: workers on this machine use the packages installed here\n"
    )
    assert done.stderr.decode().count(warning) == 1
    calling = "from job import job\njob.run('in.txt', requirements='none.txt')\n"
    called = subprocess.run([sys.executable, "-c", calling], cwd=tmp_path, capture_output=True, check=False)
    assert b"RequestError: --requirements none.txt: there is no such file" in called.stderr


def test_the_current_folder_cannot_be_the_output(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(FINE)
    done = s3mr("run", "job.py", "in.txt", "--output", ".")
    assert_refused(done, 2, "current folder", tmp_path=tmp_path)


def test_a_failure_to_keep_intermediates_is_reported_after_the_commit(
    s3mr: Run, job_file: Write, tmp_path: Path
) -> None:
    job_file(FINE)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/jobs").touch()
    done = s3mr("run", "job.py", "in.txt", "--output", "out", "--keep-intermediate", "kept")
    assert done.returncode == 1
    assert b"the job ended (succeeded), but copying its intermediates to" in done.stderr
    assert (tmp_path / "out/_SUCCESS").is_file()


def test_an_empty_output_folder_keeps_its_mode(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(FINE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o2775)
    assert s3mr("run", "job.py", "in.txt", "--output", "out").returncode == 0
    assert (tmp_path / "out").stat().st_mode & 0o7777 == 0o2775


@pytest.mark.parametrize("damage", ["truncated", "corrupt", "no gzip"])
def test_a_damaged_gzip_is_named(s3mr: Run, job_file: Write, tmp_path: Path, damage: str) -> None:
    job_file(FINE)
    data = gzip.compress(os.urandom(5000))
    damaged = {"truncated": data[:-100], "corrupt": data[:2000] + b"\x00\x01" + data[2002:], "no gzip": b"text"}
    (tmp_path / "bad.gz").write_bytes(damaged[damage])
    done = s3mr("run", "job.py", "in.txt", "bad.gz", "--output", "out")
    assert_refused(done, 1, "truncated or corrupt gzip: bad.gz", tmp_path=tmp_path)


def test_a_task_that_hangs_is_killed_at_the_task_timeout(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file("import time\njob = Job(map=lambda source, line: time.sleep(1000))\n")
    done = s3mr("run", "job.py", "in.txt", "--output", "out", "--task-timeout", "0.5", "--attempts", "2")
    assert_refused(done, 1, "ran longer than 0.5 s", "--task-timeout", "2 attempts", tmp_path=tmp_path)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a small in-memory file system with these options."""
    mounted: list[Path] = []

    def at(name: str, options: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("needs permission to mount a file system: run as root on Linux, as CI does")
        mounted.append(folder)
        return folder

    yield at
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def test_missing_permission_on_the_output_is_reported_at_once(
    s3mr: Run, job_file: Write, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    job_file(FINE)
    if os.geteuid() == 0:  # root may write to every folder except a read-only mount
        request.getfixturevalue("mount")("locked", "ro")
    else:
        (tmp_path / "locked").mkdir(mode=0o555)
    done = s3mr("run", "job.py", "in.txt", "--output", "locked/out")
    assert_refused(done, 2, "permission denied", "locked", tmp_path=tmp_path)


def test_a_full_disk_fails_the_job_and_leaves_nothing(s3mr: Run, job_file: Write, mount: Callable[..., Path]) -> None:
    job_file("job = Job(map=lambda source, line: [(n, 'x' * 1000) for n in range(1000)])\n")
    small = mount("small", "size=1m")
    done = s3mr("run", "job.py", "in.txt", "--output", "small/out", "--quiet")
    assert done.returncode == 1, done.stderr.decode()
    assert b"disk full" in done.stderr
    assert list(small.iterdir()) == []
