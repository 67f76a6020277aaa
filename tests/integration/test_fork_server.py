"""Workers from a fork server behave like started workers, and a job continues if the fork server dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TypeVar

import pytest

from s3mr.processes.fork_server import start_fork_server

S3MR = Path(sys.executable).with_name("s3mr")
PATIENCE_S = 60.0
FACTS = """
    import gc, json, os, signal, sys, tempfile, time
    from pathlib import Path

    from s3mr import Job

    def stream(one):
        return [one.encoding, one.errors, one.write_through, one.fileno(), type(one.buffer).__name__]

    def held():
        links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        kinds = [os.readlink(link).partition(":")[0] for link in links if os.path.lexists(link)]
        return sorted(kind for kind in kinds if not kind.startswith("/"))

    def facts(source, line):
        Path("started").touch()
        while Path("wait").exists():
            time.sleep(0.01)
        yield "argv", sys.argv
        yield "main", sys.modules["__main__"].__file__
        yield "path", [one for one in sys.path if not one.startswith(tempfile.gettempdir())]
        yield "temporary", [tempfile.gettempdir() == os.environ["TMPDIR"], "s3mr-" in os.environ["TMPDIR"]]
        yield "environment", sorted({*os.environ} - {"LC_CTYPE"})
        yield "signals", [str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        yield "streams", [stream(sys.stdin), stream(sys.stdout), stream(sys.stderr)]
        yield "leads", [os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid()]
        yield "named", Path("/proc/self/comm").read_text().strip()
        yield "collects", gc.get_threshold()
        yield "pipes and sockets", held()

    def write(key, values):
        for value in values:
            yield key, value

    job = Job(map=facts, reduce=write)

    if __name__ == "__main__":
        result = job.run(["in.txt"], reducers=1, workers=1)
        print(*(line for part in result.part_files() for line in part.open()))
"""
Found = TypeVar("Found")
needs_fork_server = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="fork servers need Linux")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "job.py").write_text(dedent(FACTS))
    (tmp_path / "in.txt").write_text("line\n")
    return tmp_path


def facts_printed(here: Path, *command: str | Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    lines = (line.partition("\t") for line in done.stdout.decode().splitlines() if line.strip())
    return {key.strip(): value for key, _, value in lines}


@needs_fork_server
def test_a_forked_worker_finds_the_same_environment_as_a_started_worker(here: Path) -> None:
    forked = facts_printed(here, S3MR, "run", "job.py", "in.txt", "--reducers", "1", "--workers", "1", "--quiet")
    started = facts_printed(here, sys.executable, "-P", "job.py")
    assert forked == started
    assert forked["named"] == "s3mr-worker"


@needs_fork_server
def test_a_job_whose_fork_server_is_killed_keeps_running(here: Path) -> None:
    (here / "wait").touch()
    arguments: list[str | Path] = [S3MR, "run", "job.py", "in.txt", "--reducers", "1", "--workers", "1"]
    with subprocess.Popen(arguments, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        try:
            fork_server = found(command.pid, "s3mr-forkserver")
            worker = found(fork_server, "s3mr-worker")
            until((here / "started").exists)
            os.kill(fork_server, signal.SIGKILL)
            until(lambda: not Path(f"/proc/{worker}").exists())
            (here / "wait").unlink()
            _, stderr = command.communicate(timeout=PATIENCE_S)
        finally:
            command.kill()
    assert command.returncode == 0, stderr.decode()
    assert b"1 retried" in stderr


@needs_fork_server
def test_a_job_runs_even_if_the_command_inherits_an_ignored_sigchld(here: Path) -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    ran: list[str | Path] = [S3MR, "run", "job.py", "in.txt", "--workers", "1", "--quiet", "--chaos", "crash=.5,seed=3"]
    done = subprocess.run([sys.executable, "-c", ignoring, *ran], cwd=here, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@needs_fork_server
@pytest.mark.parametrize(
    ("end", "message"), [("os._exit(3)", "exited with status 3"), ("os.kill(os.getpid(), 11)", "died of signal 11")]
)
def test_the_error_says_how_a_forked_worker_died(here: Path, end: str, message: str) -> None:
    (here / "job.py").write_text(f"import os\nfrom s3mr import Job\njob = Job(map=lambda source, line: {end})\n")
    done = subprocess.run([S3MR, "run", "job.py", "in.txt"], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"the worker {message}" in done.stderr


def found(parent: int, name: str) -> int:
    """Wait until ``parent`` has a child with that name, and return its id."""
    return until(lambda: next((child for child in children_of(parent) if named(child) == name), None))


def children_of(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def named(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def until(find: Callable[[], Found | None]) -> Found:
    """Wait until ``find`` returns a true value, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (it := find()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return it


def test_a_process_with_threads_is_not_forked() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    try:
        assert start_fork_server() is None
    finally:
        go_on.set()
        thread.join()
