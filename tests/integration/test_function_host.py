"""A worker function's environment: one child process per invocation; nothing of one user's code reaches the next."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from s3mr import limits
from s3mr.adapters.files.file_inputs import LocalInputs
from s3mr.local.cloud import EmbeddedCloud
from s3mr.model import object_names
from s3mr.model.job import SCHEMA_VERSION, BundleRef, Phase
from s3mr.model.plan import MapTask, Split
from s3mr.model.plan_codec import POINTER_BYTES, decode_pointer, encode_plan
from s3mr.model.report import Report, TaskRequest
from s3mr.usercode.bundle import make_bundle
from tests.submissions import some_spec

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux, like Lambda")

HOST = """
import json, os, sys
from s3mr.processes.function_host import WorkerHost
host = WorkerHost(os.environ, lambda line: print(json.dumps({"printed": line}), flush=True))
for event in sys.stdin:
    try:
        answer = {"report": host.handle(json.loads(event))}
    except Exception as error:
        answer = {"error": type(error).__name__}
    print(json.dumps(answer), flush=True)
"""


class Requests:
    """Makes requests for one map task of a job with the given code and an input of two lines."""

    def __init__(self, cloud: EmbeddedCloud, folder: Path) -> None:
        self.cloud = cloud
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.text = folder / "in.txt"
        self.text.write_text("one\ntwo\n")
        self.jobs = 0

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a function's process."""
        settings = self.cloud.settings.to_environment()
        del settings["S3MR_SCRATCH"]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        return {**own, **settings, "TMPDIR": str(self.temporary)}

    def request(self, code: str, timeout_s: float) -> TaskRequest:
        self.jobs += 1
        folder = self.temporary.parent / f"code-{self.jobs}"
        folder.mkdir()
        (folder / "job.py").write_text("from s3mr import Job\n" + dedent(code))
        bundle = make_bundle({"job.py": folder / "job.py"})
        found = LocalInputs().look_up(str(self.text))
        assert found is not None
        size_bytes = found.size_bytes
        split = Split(source=found.source, size_bytes=size_bytes, etag=found.etag, start=0, stop=size_bytes)
        plan: list[bytes] = []
        summary = encode_plan([MapTask(splits=(split,))], plan.append)
        spec = some_spec(
            job_id=f"host-{os.getpid()}-{self.temporary.parent.name.replace('_', '-')[-20:]}-{self.jobs}",
            bundle=BundleRef(sha256=hashlib.sha256(bundle).hexdigest(), module="job.py", name="job"),
            input_bytes=size_bytes,
            plan_index_offset_bytes=summary.index_offset_bytes,
            attempts=1,
            task_timeout_s=timeout_s,
        )
        self.cloud.stack.objects.put(object_names.plan(spec.job_id), b"".join(plan))
        self.cloud.stack.objects.put(object_names.bundle(spec.job_id), bundle)
        pointer = decode_pointer(b"".join(plan)[-POINTER_BYTES:])
        return TaskRequest(spec=spec, phase=Phase.MAP, task=0, attempt=1, token="t", start_by=2.0e9, plan=pointer)


class Host(Requests):
    """A `WorkerHost` in its own process, as in Lambda."""

    def __init__(self, cloud: EmbeddedCloud, folder: Path, runtime_api: str = "127.0.0.1:9") -> None:
        super().__init__(cloud, folder)
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, "AWS_LAMBDA_RUNTIME_API": runtime_api, "S3MR_REPORT_KEY": "key"},
        )

    def run(self, code: str, *, timeout_s: float = 30.0) -> tuple[Report, list[str]]:
        """Run one map task of a job with this code; return its report and the printed lines."""
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
            if "printed" not in answer:
                return printed, answer
            printed.append(answer["printed"])
        raise AssertionError("the host has ended")

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


@pytest.fixture
def host(cloud: EmbeddedCloud, tmp_path: Path) -> Iterator[Host]:
    started = Host(cloud, tmp_path)
    yield started
    started.close()


def printing(expression: str) -> str:
    """The code of a job that prints the value of an expression for its first record."""
    return f"""
    import builtins, os, sys, tempfile
    from pathlib import Path
    def map(source, line):
        if line == "one":
            print({expression})
        yield line, 1
    job = Job(map=map, reduce=map)
    """


def test_lines_printed_by_user_code_are_shown_before_the_report_returns(host: Host) -> None:
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


def test_another_bundle_finds_nothing_of_the_one_before(host: Host) -> None:
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
    assert not Path(f"/proc/{daemon}").exists()
    look = 'hasattr(builtins, "LEFT"), "LEFT" in os.environ, sorted(os.listdir(tempfile.gettempdir()))'
    report, printed = host.run(printing(look))
    assert report.manifest is not None
    assert printed == ["False False ['s3mr-bundles']"]


@pytest.mark.parametrize(
    "left",
    [
        "(folder / 'x' / 'y').mkdir(parents=True); (folder / 'x' / 'y' / 'f').touch(); (folder / 'x').chmod(0)",
        "[(os.mkdir(str(n)), os.chdir(str(n))) for n in range(1500)]",
        "os.symlink('/etc', folder / 'link')",
    ],
    ids=["closed", "deep", "link"],
)
def test_files_that_a_bundle_leaves_are_removed_or_end_the_environment(host: Host, left: str) -> None:
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
    look = printing("sorted(os.listdir(tempfile.gettempdir()))")
    try:
        assert host.run(look)[1] == ["['s3mr-bundles']"]
    except AssertionError:
        assert host.process.wait(10) == limits.ENVIRONMENT_ENDED_STATUS
    assert Path("/etc/passwd").exists()


def test_a_change_that_one_bundle_makes_to_its_pipe_does_not_affect_the_next(host: Host) -> None:
    assert host.run(printing("os.set_blocking(2, False)"))[0].manifest is not None
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


def test_a_report_of_another_attempt_is_rejected(host: Host) -> None:
    forge = """
    import os
    def map(source, line):
        for number in range(3, 30):
            try:
                os.write(number, b'{"schema_version":VER,"job_id":"x","phase":"map","task":0,"attempt":1,"token":"t",'
                    b'"worker":null,"failure":{"kind":"crash","message":"forged"}}\\n')
            except OSError:
                pass
        yield line, 1
    job = Job(map=map, reduce=map)
    """.replace("VER", str(SCHEMA_VERSION))
    report, _ = host.run(forge)
    assert report.failure is not None
    assert report.failure.message in (  # the forgery was read alone, or on one line with the true report
        "the worker answered with the report of another attempt",
        "the worker's answer is not a report",
    )
    assert host.run(printing("4"))[1] == ["4"]


def test_the_host_hides_its_memory_from_its_children() -> None:
    code = "from s3mr.processes.descendants import hide_memory; import ctypes; hide_memory()\n"
    code += "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"


def test_an_invocation_finds_no_process_thread_or_global_of_an_earlier_one(host: Host) -> None:
    code = """
    import os, threading, time
    seen = []
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    def map(source, line):
        seen.append(line)
        if line == "two":
            print(os.getpid(), seen, threading.active_count())
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    (_, first), (_, second) = host.run(code), host.run(code)
    assert first[0].split()[0] != second[0].split()[0]
    assert first[0].split()[1:] == second[0].split()[1:]
    assert not any(
        Path(f"/proc/{one[0].split()[0]}/cmdline").read_bytes()
        for one in (first, second)
        if Path(f"/proc/{one[0].split()[0]}").exists()
    )


def test_files_in_a_bundles_folder_are_visible_only_to_the_same_bundle(host: Host) -> None:
    code = """
    import os, tempfile
    from pathlib import Path
    def map(source, line):
        kept = Path(tempfile.gettempdir(), "kept")
        print(kept.exists(), oct(kept.parent.stat().st_mode & 0o777))
        kept.touch()
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    assert host.run(code)[1] == ["False 0o700", "True 0o700"]
    assert host.run(code)[1] == ["True 0o700", "True 0o700"]
    assert host.run(printing("os.listdir(tempfile.gettempdir())"))[1] == ["['s3mr-bundles']"]


def test_files_of_others_in_the_same_temporary_folder_are_left_unchanged(host: Host) -> None:
    others = host.temporary / "others" / "below"
    others.mkdir(parents=True)
    (others / "file").write_text("theirs")
    (host.temporary / "closed").mkdir(mode=0)
    (host.temporary / "link").symlink_to("/nowhere")
    before = {path: path.lstat() for path in host.temporary.rglob("*")}
    for number in range(3):
        assert host.run(printing(str(number)))[1] == [str(number)]
    after = {path: path.lstat() for path in host.temporary.rglob("*") if path in before}
    assert [(one.st_ino, one.st_mode, one.st_ctime_ns) for one in after.values()] == [
        (one.st_ino, one.st_mode, one.st_ctime_ns) for one in before.values()
    ]
    assert len([path for path in host.temporary.iterdir() if path.name.startswith("s3mr-")]) == 1


@pytest.mark.parametrize("lay", ["os.symlink(THEIRS, folder)", "os.mkfifo(folder)", "open(folder, 'w').close()"])
def test_a_bundle_that_replaces_its_folder_ends_the_environment_and_nothing_is_followed(
    host: Host, tmp_path: Path, lay: str
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "below").mkdir(parents=True)
    before = [path.stat().st_mode for path in (theirs, theirs / "below")]
    code = f"""
    import os, shutil, tempfile
    THEIRS = {str(theirs)!r}
    def map(source, line):
        folder = tempfile.gettempdir()
        if line == "two":
            shutil.rmtree(folder)
            {lay}
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    host.run(code)
    with pytest.raises((AssertionError, BrokenPipeError)):
        host.run(printing("1"))
    assert host.process.wait(10) == limits.ENVIRONMENT_ENDED_STATUS
    assert [path.stat().st_mode for path in (theirs, theirs / "below")] == before


@pytest.mark.parametrize("place", ["TMPDIR", "/tmp", "/dev/shm"])  # noqa: S108 - the test removes it
def test_a_file_left_outside_the_bundles_folder_ends_the_environment_and_stays(
    host: Host, tmp_path: Path, place: str
) -> None:
    folder = str(host.temporary) if place == "TMPDIR" else place
    name = f"left-{tmp_path.name}-{os.getpid()}"
    left = Path(folder, name)
    code = f"""
    def map(source, line):
        open({str(left)!r}, "w").write("mine")
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    try:
        assert host.run(code)[0].manifest is not None
        assert host.run(code)[0].manifest is not None  # the same bundle may continue
        with pytest.raises((AssertionError, BrokenPipeError)):
            host.run(printing("1"))
        assert host.process.wait(10) == limits.ENVIRONMENT_ENDED_STATUS
        assert left.read_text() == "mine"
    finally:
        left.unlink()


def test_files_that_others_make_meanwhile_do_not_end_the_environment(host: Host) -> None:
    theirs = host.temporary / "theirs"
    code = f"""
    import time
    from pathlib import Path
    def map(source, line):
        print(line)
        while not Path({str(theirs)!r}).exists():
            time.sleep(0.01)
        yield line, 1
    job = Job(map=map, reduce=map)
    """
    maker = threading.Timer(1.0, theirs.mkdir)
    maker.start()
    assert host.run(code)[0].manifest is not None
    maker.join()
    assert host.run(printing("1"))[1] == ["1"]


def test_user_code_does_not_see_the_address_of_the_runtime_api(host: Host) -> None:
    assert host.run(printing('os.environ.get("AWS_LAMBDA_RUNTIME_API")'))[1] == ["None"]


@pytest.mark.parametrize(
    ("death", "message"),
    [("os._exit(3)", "exited with status 3"), ("os.kill(os.getpid(), 9)", "was killed (signal 9)")],
)
def test_a_child_that_dies_is_reported_and_replaced(host: Host, death: str, message: str) -> None:
    report, _ = host.run(printing(death))
    assert report.failure is not None
    assert report.failure.kind == "crash"
    assert message in report.failure.message
    assert host.run(printing("1"))[1] == ["1"]


def test_a_child_that_hangs_is_killed_at_the_task_timeout(host: Host) -> None:
    report, _ = host.run(printing("__import__('time').sleep(600)"), timeout_s=0.5)
    assert report.failure is not None
    assert "ran longer than 0.5 s" in report.failure.message
    assert host.run(printing("2"))[1] == ["2"]


def test_an_invalid_request_is_refused_and_the_next_one_is_served(host: Host) -> None:
    assert host.send({"nonsense": 1})[1] == {"error": "ValidationError"}
    assert host.run(printing("3"))[1] == ["3"]


def test_an_environment_that_cannot_seal_user_code_serves_one_bundle_and_ends(
    cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    unsealed = Host(cloud, tmp_path, runtime_api="no.such.name.invalid:9001")  # so the host cannot test its seal
    try:
        own = printing("1")
        assert unsealed.run(own)[1] == unsealed.run(own)[1] == ["1"]
        with pytest.raises((AssertionError, BrokenPipeError)):
            unsealed.run(printing("2"))
        assert unsealed.process.wait(10) == limits.ENVIRONMENT_ENDED_STATUS
        assert unsealed.process.stderr
        first, *_, last = unsealed.process.stderr.read().splitlines()
        assert "user code is not sealed here" in first
        assert "this environment ends: the next request has another bundle" in last
    finally:
        unsealed.close()


def test_the_function_marks_its_reports_with_a_key_that_user_code_cannot_read(host: Host) -> None:
    assert host.run(printing('"S3MR_REPORT_KEY" in os.environ'))[1] == ["False"]
    report, _ = host.run(printing("1"))
    assert report.is_marked("key")
    assert not report.model_copy(update={"attempt": 2}).is_marked("key")
