"""The template on an independent emulator, as a user sees it: deployed, used, broken, cleaned up, deleted.

The tests are one story, in this order. Each leaves the stack in working order.
"""

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import botocore.exceptions
import pytest

from tests.deployed.harness.building import sam
from tests.deployed.harness.constants import ROOT
from tests.deployed.harness.waiting import until
from tests.emulator.conftest import OUTPUTS, REGION, STACK, Emulator

SLOW = """
    import os, pathlib, time
    def wait(source, line):
        place = pathlib.Path(params["folder"])
        (place / f"at-{line}-{os.getpid()}").touch()
        while not (place / "go").exists():
            time.sleep(0.05)
        yield line, 1
    job = Job(map=wait, reduce=lambda key, values: [(key, sum(values))])
"""


@pytest.fixture(scope="module")
def texts() -> list[str]:
    random = Random(14)
    words = ["".join(random.choices("abcdefghij", k=random.randint(1, 4))) for _ in range(500)]
    return ["\n".join(" ".join(random.choices(words, k=8)) for _ in range(2_000)) + "\n" for _ in range(3)]


def test_doctor_finds_no_problems(deployed: Emulator) -> None:
    finished = deployed.run("doctor", expect=None)
    assert "Traceback" not in finished.stderr
    assert finished.returncode == 0, finished.stdout


def test_word_count_equals_a_sequential_programs(deployed: Emulator, texts: list[str]) -> None:
    output = f"s3://{OUTPUTS}/words/"
    options = ("--reducers", "3", "--split-size", "50KiB")
    deployed.run(
        "run", ROOT / "examples" / "wordcount.py", deployed.upload("words", *texts), "--output", output, *options
    )
    counted = Counter(word for text in texts for word in text.split())
    assert deployed.lines(output) == sorted(f"{word}\t{count}" for word, count in counted.items())
    assert deployed.run("verify", output).returncode == 0


def test_an_inverted_index_equals_a_sequential_programs(deployed: Emulator, texts: list[str]) -> None:
    job = deployed.job(
        "index.py",
        """
        def places(source, line):
            for word in set(line.split()):
                yield word, source.rpartition("/")[2]
        def index(word, names):
            yield word, sorted(set(names))
        job = Job(map=places, reduce=index)
        """,
    )
    output = f"s3://{OUTPUTS}/index/"
    deployed.run("run", job, deployed.upload("index", *texts), "--output", output, "--reducers", "2")
    index: dict[str, set[str]] = {}
    for number, text in enumerate(texts):
        for word in text.split():
            index.setdefault(word, set()).add(f"{number}.txt")
    names = {word: ",".join(f'"{name}"' for name in sorted(found)) for word, found in index.items()}
    assert deployed.lines(output) == sorted(f"{word}\t[{found}]" for word, found in names.items())


def test_a_users_error_fails_the_job_and_is_shown_in_its_logs(deployed: Emulator, failed_jobs: list[str]) -> None:
    code = 'def broken(_, line):\n    print("about to break")\n    yield 1 / 0, 1\njob = Job(map=broken)'
    options = ("--output", f"s3://{OUTPUTS}/broken/", "--task-timeout", "10")
    failed = deployed.run("run", deployed.job("broken.py", code), deployed.upload("broken", "x\n"), *options, expect=1)
    assert "ZeroDivisionError" in failed.stderr
    (ended, *_) = deployed.ask("ls", "--count", "1")["jobs"]
    failed_jobs.append(ended["job_id"])
    logs = deployed.run("logs", ended["job_id"])
    assert "about to break" in logs.stdout
    assert "Traceback (most recent call last)" not in logs.stderr


def test_a_killed_worker_costs_only_an_attempt(deployed: Emulator, shared: Path) -> None:
    output = f"s3://{OUTPUTS}/killed/"
    job = deployed.job("slow.py", SLOW)
    options = ("--reducers", "1", "--param", f"folder={shared}")

    def kill() -> None:
        until(lambda: list(_seen(deployed, shared).glob("at-a-*")))
        for pid in deployed.workers("map"):
            os.kill(pid, signal.SIGKILL)
        (_seen(deployed, shared) / "go").touch()

    with ThreadPoolExecutor(1) as others:
        killing = others.submit(kill)
        result = deployed.ask("run", job, deployed.upload("killed", "a\n"), "--output", output, *options)
        killing.result()
    assert deployed.lines(output) == ["a\t1"]
    assert result["retried"] == 1


def test_a_cancelled_job_is_resumed(deployed: Emulator, shared: Path) -> None:
    output = f"s3://{OUTPUTS}/cancelled/"
    options = ("--output", output, "--reducers", "1", "--param", f"folder={shared}")
    submitted = deployed.run("submit", deployed.job("slow.py", SLOW), deployed.upload("cancelled", "b\n"), *options)
    job_id = submitted.stdout.strip()
    until(lambda: list(_seen(deployed, shared).glob("at-b-*")))
    deployed.run("cancel", job_id)
    (_seen(deployed, shared) / "go").touch()
    until(lambda: deployed.ask("status", job_id)["phase"] == "cancelled", 120.0)
    deployed.run("resume", job_id)
    assert deployed.lines(output) == ["b\t1"]


def test_consecutive_bundles_cannot_see_each_other_and_leave_other_files_alone(deployed: Emulator) -> None:
    theirs = deployed.temporary / "theirs"
    theirs.mkdir(mode=0o700)
    (theirs / "kept").write_text("theirs")
    (theirs / "closed").mkdir(mode=0)
    before = [(path.lstat().st_ino, path.lstat().st_mode) for path in sorted(theirs.rglob("*"))]
    leave = """
        import builtins, os, subprocess, tempfile
        def leave(source, line):
            builtins.LEFT = 1
            open(os.path.join(tempfile.gettempdir(), "left"), "w").write("mine")
            subprocess.Popen(["sleep", "600"], start_new_session=True)
            yield "left", 1
        job = Job(map=leave)
    """
    look = """
        import builtins, os, tempfile
        def look(source, line):
            lines = [open(f"/proc/{pid}/cmdline", "rb").read() for pid in os.listdir("/proc") if pid.isdigit()]
            sleeps = [line for line in lines if b"sleep\\0600" in line]
            yield str([hasattr(builtins, "LEFT"), sorted(os.listdir(tempfile.gettempdir())), sleeps]), 1
        job = Job(map=look)
    """
    for name, code in (("leave", leave), ("look", look)):
        output = f"s3://{OUTPUTS}/{name}/"
        deployed.run("run", deployed.job(f"{name}.py", code), deployed.upload(name, "x\n"), "--output", output)
    assert deployed.lines(f"s3://{OUTPUTS}/look/") == ["[False, ['s3mr-bundles'], []]\t1"]
    assert [(path.lstat().st_ino, path.lstat().st_mode) for path in sorted(theirs.rglob("*"))] == before


def test_an_ended_job_can_be_cleaned_up_once_its_workers_cannot_write_any_more(
    deployed: Emulator, failed_jobs: list[str]
) -> None:
    (job_id,) = failed_jobs
    until(lambda: deployed.run("clean", job_id, expect=None).returncode == 0, 150.0)
    outputs = deployed.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    (bucket,) = [one["OutputValue"] for one in outputs if one["OutputKey"] == "BucketName"]
    for prefix in (f"plan/{job_id}/", f"jobs/{job_id}/"):
        assert "Contents" not in deployed.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    assert "there is no job" in deployed.run("status", job_id, expect=2).stderr


def test_deleting_the_stack_leaves_nothing(deployed: Emulator) -> None:
    sam("delete", "--stack-name", STACK, "--region", REGION, "--no-prompts", environment=deployed.environment)
    with pytest.raises(botocore.exceptions.ClientError, match="does not exist"):
        deployed.client("cloudformation").describe_stacks(StackName=STACK)
    left = {
        "functions": [one["FunctionName"] for one in deployed.client("lambda").list_functions()["Functions"]],
        "tables": deployed.client("dynamodb").list_tables()["TableNames"],
        "machines": deployed.client("stepfunctions").list_state_machines()["stateMachines"],
        "queues": deployed.client("sqs").list_queues().get("QueueUrls", []),
        "rules": deployed.client("events").list_rules()["Rules"],
        "roles": deployed.client("iam").list_roles()["Roles"],
        "alarms": deployed.client("cloudwatch").describe_alarms()["MetricAlarms"],
        "groups": deployed.client("logs").describe_log_groups()["logGroups"],
        "buckets": [one["Name"] for one in deployed.client("s3").list_buckets()["Buckets"] if STACK in one["Name"]],
    }
    assert not {name: found for name, found in left.items() if found}


@pytest.fixture(scope="module")
def failed_jobs() -> list[str]:
    """The IDs of jobs that have failed so far."""
    return []


@pytest.fixture
def shared(deployed: Emulator) -> Path:
    """A folder in the emulator's ``/tmp``, with its path for functions."""
    place = Path("/tmp", f"shared-{time.monotonic_ns()}")  # noqa: S108 - its own
    _seen(deployed, place).mkdir(mode=0o777)
    return place


def _seen(deployed: Emulator, place: Path) -> Path:
    return deployed.temporary / place.relative_to("/tmp")  # noqa: S108 - its own
