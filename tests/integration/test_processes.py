"""If workers, the command or its services die, no data is lost and no process or file is left behind."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services import services
from tests.warm_commands import S3MR, WarmCommand, WarmCommands

Write = Callable[..., Path]
Command = WarmCommand | subprocess.Popen[bytes]
GONE_S_MAX = 8.0  # the promise is 2 s after the command dies; a loaded machine may need longer
PATIENCE_S = 60.0

# Every execution of map writes its process ids to `pids`, then waits until the file `go` exists.
WAITING = """
    import os, time
    from pathlib import Path

    def waiting(source, line):
        with open("pids", "a") as file:
            file.write(f"{os.getpid()} {os.getppid()}\\n")
        while not Path("go").exists():
            time.sleep(0.01)
        yield line, 1

    job = Job(map=waiting, reduce=lambda key, values: [(key, sum(values))])
"""

BUSY = """
    import os, re

    def busy(source, line):
        with open("pids", "a") as file:
            file.write(f"{os.getpid()} {os.getppid()}\\n")
        re.match("(a+)+$", "a" * 60 + "b")  # holds the GIL longer than any test waits

    job = Job(map=busy)
"""


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Wait until ``condition`` is true; fail if that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not true after {seconds} s: {what}"
        time.sleep(0.01)


def processes_of(folder: Path) -> list[int]:
    """The ids of all processes whose TMPDIR is ``folder/tmp`` or whose working directory is below ``folder``.

    A fork of a warm process shows the environment of the warm process, but has the working directory of its command.
    """
    mark, found = f"TMPDIR={folder / 'tmp'}".encode(), []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and state_of(int(path.name)) != "Z":
                works_there = (path / "cwd").readlink().is_relative_to(folder)
                if works_there or mark in (path / "environ").read_bytes():
                    found.append(int(path.name))
    return found


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def run(tmp_path: Path, warm_commands: WarmCommands) -> Iterator[Callable[..., Command]]:
    """Start ``s3mr run job.py`` in ``tmp_path/here`` with its temporary files in ``tmp_path/tmp``."""
    if not Path("/proc/self/cwd").exists():
        pytest.skip("looks for processes in /proc; run on Linux")
    here, temporary = tmp_path / "here", tmp_path / "tmp"
    temporary.mkdir()
    (here / "in.txt").write_text("one\ntwo\n")
    started: list[Command] = []

    def start(*options: str, warm: bool = True) -> Command:
        environment = {**os.environ, "TMPDIR": str(temporary)}
        arguments = ["run", "job.py", "in.txt", "--output", "out", "--split-size", "1", *options]
        command: Command
        if warm:
            command = warm_commands.start(arguments, folder=here, environment=environment)
        else:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            command = subprocess.Popen([S3MR, *arguments], cwd=here, env=environment, **pipes)  # type: ignore[call-overload]
        started.append(command)
        return command

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def job_file(tmp_path: Path) -> Write:
    (tmp_path / "here").mkdir()

    def write(code: str) -> Path:
        import textwrap

        path = tmp_path / "here/job.py"
        path.write_text("from s3mr import Job\n" + textwrap.dedent(code))
        return path

    return write


def pids(tmp_path: Path) -> list[int]:
    path = tmp_path / "here/pids"
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def assert_nothing_left(tmp_path: Path) -> None:
    """Check that no process, temporary file or output is left."""
    until(lambda: not processes_of(tmp_path), "all processes are gone", GONE_S_MAX)
    until(lambda: not list((tmp_path / "tmp").iterdir()), "no temporary file is left", GONE_S_MAX)
    left = {path.name for path in (tmp_path / "here").iterdir()} - {"__pycache__"}
    assert left == {"in.txt", "job.py", "pids"}


@pytest.mark.parametrize(
    ("code", "warm"), [(WAITING, True), (BUSY, True), (WAITING, False)], ids=["waiting", "busy in C", "not warm"]
)
def test_kill_9_of_the_command_ends_and_removes_everything(
    job_file: Write, run: Callable[..., Command], tmp_path: Path, code: str, *, warm: bool
) -> None:
    job_file(code)
    command = run("--workers", "2", warm=warm)
    until(lambda: len(pids(tmp_path)) == 2, "two maps run")
    assert len(processes_of(tmp_path)) >= 4
    command.kill()
    command.wait()
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(("processes", "warm"), [(1, False), (2, False), (2, True), (3, False), (3, True), (4, True)])
def test_kill_9_while_everything_starts_leaves_nothing(
    job_file: Write, run: Callable[..., Command], tmp_path: Path, processes: int, *, warm: bool
) -> None:
    job_file(WAITING)
    command = run("--workers", "2", warm=warm)
    until(lambda: len(processes_of(tmp_path)) >= processes, f"{processes} processes have started")
    assert command.poll() is None
    command.kill()
    command.wait()
    (tmp_path / "here/pids").touch()
    assert_nothing_left(tmp_path)


def test_services_remove_the_files_of_a_command_that_died_while_they_started(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    reader, writer = os.pipe()
    os.close(reader)
    with services(stdout=writer, stderr=subprocess.PIPE) as running:
        os.close(writer)
        _, stderr = running.process.communicate(json.dumps({"remove": str(left)}).encode() + b"\n", timeout=PATIENCE_S)
    assert (running.process.returncode, stderr) == (0, b"")
    assert not left.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_with_status_130(
    job_file: Write, run: Callable[..., Command], tmp_path: Path, number: signal.Signals
) -> None:
    job_file(WAITING)
    command = run("--workers", "2")
    until(lambda: len(pids(tmp_path)) == 2, "two maps run")
    command.send_signal(number)
    _, stderr = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 130
    assert b"interrupted" in stderr
    assert b"Traceback" not in stderr
    assert_nothing_left(tmp_path)


def test_killed_workers_are_replaced_and_the_output_is_correct(
    job_file: Write, run: Callable[..., Command], tmp_path: Path
) -> None:
    job_file(WAITING)
    command = run("--workers", "2", "--json")
    until(lambda: len(pids(tmp_path)) == 2, "two maps run")
    for pid in pids(tmp_path):
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(pids(tmp_path)) == 4, "both run again")
    (tmp_path / "here/go").touch()
    printed, stderr = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 0, stderr.decode()
    assert json.loads(printed)["retried"] == 2
    lines = [line for part in (tmp_path / "here/out").glob("part-*") for line in part.read_text().splitlines()]
    assert sorted(lines) == ["one\t1", "two\t1"]


def test_a_stopped_worker_is_killed_at_the_task_timeout(
    job_file: Write, run: Callable[..., Command], tmp_path: Path
) -> None:
    job_file(WAITING)
    command = run("--workers", "2", "--task-timeout", "2")
    until(lambda: len(pids(tmp_path)) == 2, "two maps run")
    os.kill(pids(tmp_path)[0], signal.SIGSTOP)
    (tmp_path / "here/go").touch()
    _, stderr = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 0, stderr.decode()
    assert b"1 retried" in stderr


def test_the_death_of_the_services_is_reported_and_leaves_nothing(
    job_file: Write, run: Callable[..., Command], tmp_path: Path
) -> None:
    job_file(WAITING)
    command = run("--workers", "1")
    until(lambda: pids(tmp_path), "a map runs")
    others = set(processes_of(tmp_path)) - {command.pid, *pids(tmp_path)}
    (server,) = (pid for pid in others if Path(f"/proc/{pid}/comm").read_text() != "s3mr-forkserver\n")
    os.kill(server, signal.SIGKILL)
    (tmp_path / "here/go").touch()
    _, stderr = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 1
    assert b"server has died" in stderr
    (tmp_path / "here/go").unlink()
    assert_nothing_left(tmp_path)


def test_children_of_user_code_end_with_the_command(
    job_file: Write, run: Callable[..., Command], tmp_path: Path
) -> None:
    job_file(
        """
    import os, subprocess

    def parent(source, line):
        child = subprocess.Popen(["sleep", "1000"])
        with open("pids", "a") as file:
            file.write(f"{child.pid} {os.getpid()}\\n")
        yield line, 1

    job = Job(map=parent)
    """
    )
    command = run("--workers", "1")
    _, stderr = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 0, stderr.decode()
    until(lambda: not processes_of(tmp_path), "all processes are gone", GONE_S_MAX)


def test_a_command_under_nohup_survives_a_hangup(job_file: Write, tmp_path: Path) -> None:
    job_file(WAITING)
    here = tmp_path / "here"
    (here / "in.txt").write_text("one\n")
    command: list[str | Path] = ["nohup", S3MR, "run", "job.py", "in.txt", "--output", "out", "--quiet"]
    with subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as running:
        until(lambda: pids(tmp_path), "a map runs")
        running.send_signal(signal.SIGHUP)
        (here / "go").touch()
        _, printed = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, printed.decode()
    assert (here / "out/part-00000").read_text() == "one\t1\n"
