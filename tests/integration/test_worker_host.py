"""A worker function's environment: one child a bundle, and nothing of one user's code left for the next."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from s3mr.bundle import make_bundle
from s3mr.local.cloud import EmbeddedCloud
from s3mr.model import keys
from s3mr.model.job import BundleRef, JobSpec, Phase
from s3mr.model.plan import MapTask, Split
from s3mr.model.plan_codec import POINTER_BYTES, decode_pointer, encode_plan
from s3mr.model.report import Report, TaskRequest
from s3mr.processes.host import UNCLEAN_STATUS
from tests.integration.test_processes import until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Lambda is Linux; CI is, too")

HOST = """
import json, os, sys
from s3mr.processes.host import WorkerHost
host = WorkerHost(os.environ, lambda line: print(json.dumps({"said": line}), flush=True))
for event in sys.stdin:
    try:
        answer = {"report": host.handle(json.loads(event))}
    except Exception as error:
        answer = {"error": type(error).__name__}
    print(json.dumps(answer), flush=True)
"""


class Host:
    """A `WorkerHost` in a process of its own, as in Lambda."""

    def __init__(self, cloud: EmbeddedCloud, folder: Path) -> None:
        self.cloud = cloud
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.text = folder / "in.txt"
        self.text.write_text("one\ntwo\n")
        self.jobs = 0
        settings = cloud.settings.to_environment()
        del settings["S3MR_SCRATCH"]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**own, **settings, "TMPDIR": str(self.temporary), "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9"},
        )

    def run(self, code: str, *, timeout_s: float = 30.0) -> tuple[Report, list[str]]:
        """Run one map task of a job with this code; return its report, and what was printed."""
        request = self.request(code, timeout_s)
        printed, answer = self.send(request.model_dump(mode="json"))
        return Report.model_validate(answer["report"]), printed

    def send(self, event: object) -> tuple[list[str], dict[str, Any]]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(event) + "\n")
        self.process.stdin.flush()
        printed: list[str] = []
        for line in self.process.stdout:
            answer = json.loads(line)
            if "said" not in answer:
                return printed, answer
            printed.append(answer["said"])
        raise AssertionError("the host has ended")

    def request(self, code: str, timeout_s: float) -> TaskRequest:
        self.jobs += 1
        folder = self.temporary.parent / f"code-{self.jobs}"
        folder.mkdir()
        (folder / "job.py").write_text("from s3mr import Job\n" + dedent(code))
        bundle = make_bundle({"job.py": folder / "job.py"})
        found = self.text.stat()
        etag = f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"
        split = Split(source=str(self.text), size_bytes=found.st_size, etag=etag, start=0, stop=found.st_size)
        plan: list[bytes] = []
        summary = encode_plan([MapTask(splits=(split,))], plan.append)
        spec = JobSpec(
            job_id=f"host-{os.getpid()}-{self.temporary.parent.name.replace('_', '-')[-20:]}-{self.jobs}",
            bundle=BundleRef(sha256=hashlib.sha256(bundle).hexdigest(), module="job.py", name="job"),
            map_tasks=1,
            reducers=1,
            layout="packed",
            input_format="text",
            input_objects=1,
            input_bytes=found.st_size,
            plan_index_offset_bytes=summary.index_offset_bytes,
            memory_bytes=2**24,
            attempts=1,
            task_timeout_s=timeout_s,
            params={},
            output="/nowhere",
        )
        self.cloud.stack.objects.put(keys.plan(spec.job_id), b"".join(plan))
        self.cloud.stack.objects.put(keys.bundle(spec.job_id), bundle)
        pointer = decode_pointer(b"".join(plan)[-POINTER_BYTES:])
        return TaskRequest(spec=spec, phase=Phase.MAP, task=0, attempt=1, token="t", start_by=2.0e9, plan=pointer)

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def host(cloud: EmbeddedCloud, tmp_path: Path) -> Iterator[Host]:
    started = Host(cloud, tmp_path)
    yield started
    started.close()


def said(expression: str) -> str:
    """A job that prints what an expression is, for its first record."""
    return f"""
    import builtins, os, sys, tempfile
    from pathlib import Path
    def map(source, line):
        if line == "one":
            print({expression})
        yield line, 1
    job = Job(map=map, reduce=map)
    """


def test_what_user_code_prints_is_shown_before_the_report_returns(host: Host) -> None:
    report, printed = host.run(
        """
        def map(source, line):
            print(line, "é")
            yield line, 1
        job = Job(map=map, reduce=map)
        """
    )
    assert report.manifest is not None
    assert report.manifest.counters.records_in == 2
    assert printed == ["one é", "two é"]


def test_another_bundle_meets_nothing_of_the_one_before(host: Host) -> None:
    leave = """
    import builtins, os, subprocess, sys, tempfile
    from pathlib import Path
    builtins.LEFT = 1
    os.environ["LEFT"] = "1"
    def map(source, line):
        folder = Path(tempfile.gettempdir())
        (folder / "left").mkdir(exist_ok=True)
        (folder / "left" / "file").write_text("secret")
        if line == "one":
            daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            print("daemon", daemon.pid)
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    report, printed = host.run(leave)
    assert report.manifest is not None
    daemon = int(printed[0].split()[1])
    assert Path(f"/proc/{daemon}").exists()
    look = 'hasattr(builtins, "LEFT"), "LEFT" in os.environ, sorted(os.listdir(tempfile.gettempdir()))'
    report, printed = host.run(said(look))
    assert report.manifest is not None
    assert printed == ["False False ['s3mr-bundles']"]
    assert not Path(f"/proc/{daemon}").exists()


@pytest.mark.parametrize(
    "left",
    [
        "(folder / 'x' / 'y').mkdir(parents=True); (folder / 'x' / 'y' / 'f').touch(); (folder / 'x').chmod(0)",
        "[(os.mkdir(str(n)), os.chdir(str(n))) for n in range(1500)]",
        "os.symlink('/etc', folder / 'link')",
    ],
    ids=["closed", "deep", "link"],
)
def test_whatever_a_bundle_leaves_the_next_one_finds_nothing_or_a_new_environment(host: Host, left: str) -> None:
    code = f"""
    import os, tempfile
    from pathlib import Path
    def map(source, line):
        folder = Path(tempfile.gettempdir())
        os.chdir(folder)
        if line == "one":
            {left}
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    assert host.run(code)[0].manifest is not None
    look = said("sorted(os.listdir(tempfile.gettempdir()))")
    try:
        assert host.run(look)[1] == ["['s3mr-bundles']"]
    except AssertionError:
        assert host.process.wait(10) == UNCLEAN_STATUS
    assert Path("/etc/passwd").exists()


def test_what_one_bundle_does_to_its_pipe_does_not_reach_the_next(host: Host) -> None:
    assert host.run(said("os.set_blocking(2, False)"))[0].manifest is not None
    many = """
    def map(source, line):
        for number in range(3000):
            print(number, "x" * 40)
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    report, printed = host.run(many)
    assert report.manifest is not None
    assert len(printed) == 6000


def test_a_report_of_another_attempt_is_not_believed(host: Host) -> None:
    forge = """
    import os
    def map(source, line):
        for number in range(3, 30):
            try:
                os.write(number, b'{"schema_version":1,"job_id":"x","phase":"map","task":0,"attempt":1,"token":"t",'
                    b'"worker":null,"failure":{"kind":"crash","message":"forged"}}\\n')
            except OSError:
                pass
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    report, _ = host.run(forge)
    assert report.failure is not None
    assert "the worker answered with" in report.failure.message  # the forgery, or both reports at once
    assert host.run(said("4"))[1] == ["4"]


def test_a_child_that_died_after_its_report_costs_the_next_attempt_nothing(host: Host) -> None:
    die = host.temporary / "die"
    code = f"""
    import os, threading, time
    def die_when_told():
        while not os.path.exists({str(die)!r}):
            time.sleep(0.01)
        os._exit(3)
    threading.Thread(target=die_when_told, daemon=True).start()
    def map(source, line):
        if line == "one":
            print(os.getpid())
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    _, printed = host.run(code)
    die.touch()
    child = Path(f"/proc/{printed[0]}/stat")
    until(lambda: not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z", "the child has died")
    die.unlink()
    report, again = host.run(code)
    assert report.manifest is not None
    assert again != printed


def test_the_host_hides_its_memory_from_its_children() -> None:
    code = "from s3mr.processes.descendants import hide_memory; import ctypes; hide_memory()\n"
    code += "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"


def test_the_same_bundle_keeps_its_child(host: Host) -> None:
    pid = said("os.getpid()")
    assert host.run(pid)[1] == host.run(pid)[1]
    assert host.run(said("os.getpid() + 0"))[1] != host.run(pid)[1]


def test_user_code_does_not_learn_where_invocations_come_from(host: Host) -> None:
    assert host.run(said('os.environ.get("AWS_LAMBDA_RUNTIME_API")'))[1] == ["None"]


@pytest.mark.parametrize(
    ("death", "told"),
    [("os._exit(3)", "exited with status 3"), ("os.kill(os.getpid(), 9)", "was killed (signal 9)")],
)
def test_a_child_that_dies_is_reported_and_replaced(host: Host, death: str, told: str) -> None:
    report, _ = host.run(said(death))
    assert report.failure is not None
    assert report.failure.kind == "crash"
    assert told in report.failure.message
    assert host.run(said("1"))[1] == ["1"]


def test_a_child_that_hangs_is_ended_at_the_tasks_time(host: Host) -> None:
    report, _ = host.run(said("__import__('time').sleep(600)"), timeout_s=0.5)
    assert report.failure is not None
    assert "ran longer than 0.5 s" in report.failure.message
    assert host.run(said("2"))[1] == ["2"]


def test_what_is_no_request_is_refused_and_the_next_one_served(host: Host) -> None:
    assert host.send({"nonsense": 1})[1] == {"error": "ValidationError"}
    assert host.run(said("3"))[1] == ["3"]
