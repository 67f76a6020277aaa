"""The commands for jobs that live on, as a person types them, on a stack in moto whose functions the test plays."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from s3mr.model.job import Phase
from tests.integration.conftest import S3MR, Finished
from tests.integration.moto_stack import KEYS, MotoStack
from tests.integration.test_processes import until

Run = Callable[..., Finished]
Write = Callable[..., Path]

COUNT = """
    def words(source, line):
        print("mapping", line)
        for word in line.split():
            yield word, 1

    def total(word, counts):
        yield word, sum(counts)

    def broken(source, line):
        raise ValueError("as planned")

    count = Job(map=words, combine=total, reduce=total, reducers=2)
    sized = Job(map=words, reduce=total)
    fails = Job(map=broken, reduce=total)
"""
OUT = "s3://{bucket}/output/{name}"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def stack(
    endpoint: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_file: Write
) -> MotoStack:
    """A stack of the test's own, with inputs a, b and c, and the user's configuration set to reach it."""
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE", "S3MR_STACK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    stack = MotoStack(endpoint, f"t{abs(hash(request.node.nodeid)) % 10**9}", tmp_path)
    for name in "abc":
        stack.s3.put_object(Bucket=stack.bucket, Key=f"input/{name}.txt", Body=f"to be {name}\n".encode())
    job_file(COUNT)
    return stack


@pytest.fixture
def typed(s3mr: Run, stack: MotoStack) -> Run:
    """Type a command for the stack."""
    return lambda *arguments: s3mr(*arguments, "--stack", stack.name)


def asked(stack: MotoStack, job: str = "count", name: str = "out") -> list[str]:
    """What is asked of a job: three map tasks over the stack's inputs."""
    output = OUT.format(bucket=stack.bucket, name=name)
    return [f"job.py:{job}", f"s3://{stack.bucket}/input/", "--output", output, "--split-size", "8"]


def submitted(typed: Run, stack: MotoStack, *more: str, **what: str) -> str:
    done = typed("submit", *asked(stack, **what), *more)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def output(stack: MotoStack, name: str = "out") -> list[str]:
    found = stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix=f"output/{name}/part-").get("Contents", [])
    parts = [stack.s3.get_object(Bucket=stack.bucket, Key=one["Key"])["Body"].read().decode() for one in found]
    return sorted("".join(parts).splitlines())


COUNTED = ["a\t1", "b\t1", "be\t3", "c\t1", "to\t3"]


def job_ids(stack: MotoStack) -> list[str]:
    return [job.spec.job_id for job in stack.stack.store.newest(10)]


def start(stack: MotoStack, tmp_path: Path, *more: str, **what: str) -> "subprocess.Popen[bytes]":
    """Start ``s3mr run --stack``; return when its job has been submitted."""
    command = [str(S3MR), "run", *asked(stack, **what), "--stack", stack.name, *more]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: bool(job_ids(stack) and stack.executions()), "the job is submitted")
    return running


def test_submit_prints_the_id_alone_and_pins_what_is_live(typed: Run, stack: MotoStack) -> None:
    done = typed("submit", *asked(stack))
    job_id = done.stdout.decode().removesuffix("\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert job_ids(stack) == [job_id]
    (execution,) = stack.executions()
    assert execution["name"] == f"{job_id}-0"
    assert json.loads(execution["input"])["tick"].endswith(f":function:{stack.name}-tick:1")
    stack.deploy()
    job = stack.stack.store.read_job(job_id)
    assert job is not None
    assert job.spec.functions is not None
    assert job.spec.functions.map.endswith(f":function:{stack.name}-map:1")
    assert (job.spec.task_timeout_s, job.spec.memory_bytes, job.spec.workers) == (45.0, 2**27, None)
    stack.bring_to_its_end(job_id)
    assert output(stack) == COUNTED
    as_json = json.loads(typed("submit", *asked(stack, name="more"), "--json").stdout)["job_id"]
    assert json.loads(stack.executions()[1]["input"])["tick"].endswith(f":function:{stack.name}-tick:2")
    assert as_json in job_ids(stack)


def test_a_job_is_followed_from_its_submission_to_nothing(typed: Run, stack: MotoStack) -> None:
    job_id = submitted(typed, stack, "--deadline", "30m", "--workers", "2")
    stack.tick(job_id)
    told = json.loads(typed("status", job_id, "--json").stdout)
    assert told["tasks"][0] == {"phase": "map", "tasks": 3, "done": 0}
    assert told["deadline_at"] - told["created_at"] == 1800
    shown = typed("status", job_id).stdout.decode()
    assert "map       0 of 3 done" in shown
    assert "deadline" in shown
    stack.bring_to_its_end(job_id)
    watched = typed("watch", job_id, "--json")
    assert watched.returncode == 0
    assert json.loads(watched.stdout)["parts"] == 2
    assert "5 records" in watched.stderr.decode()
    assert json.loads(typed("ls", "--json").stdout)["jobs"][0]["phase"] == "succeeded"
    assert [line.split()[:3] for line in typed("ls").stdout.decode().splitlines()] == [
        ["job", "phase", "tasks"],
        [job_id, "succeeded", "5/5"],
    ]
    assert typed("history", job_id, "reduce/1").stdout.decode().splitlines()[1].split()[:2] == ["1", "won"]
    late = typed("cancel", job_id)
    assert (late.returncode, late.stdout) == (1, b"")
    assert late.stderr.decode() == f"s3mr: too late: the output of job {job_id} is committed\n"
    early = typed("clean", job_id)
    assert early.returncode == 2
    assert b"may still write until" in early.stderr
    assert output(stack) == COUNTED


def test_run_waits_prints_nothing_but_what_it_came_to_and_reads_the_stack_from_no_variable(
    typed: Run, stack: MotoStack, tmp_path: Path
) -> None:
    running = start(stack, tmp_path, "--json", "--keep-intermediate", "kept")
    (job_id,) = job_ids(stack)
    stack.bring_to_its_end(job_id)
    printed, said = running.communicate(timeout=60)
    assert running.returncode == 0, said.decode()
    assert json.loads(printed)["output"] == f"s3://{stack.bucket}/output/out"
    assert said.decode().startswith(f"job      {job_id} (--stack {stack.name})\n")
    assert "duplicates ignored" in said.decode()
    assert output(stack) == COUNTED
    assert (tmp_path / "kept/plan" / job_id / "bundle.zip").is_file()
    assert list((tmp_path / "kept/jobs" / job_id / "map").iterdir())
    again = typed("run", *asked(stack))
    assert again.returncode == 2
    assert b"not empty" in again.stderr


def test_ctrl_c_detaches_and_the_job_goes_on_until_it_is_cancelled(
    typed: Run, stack: MotoStack, tmp_path: Path
) -> None:
    running = start(stack, tmp_path)
    (job_id,) = job_ids(stack)
    stack.tick(job_id)
    running.send_signal(signal.SIGINT)
    printed, said = running.communicate(timeout=60)
    assert (running.returncode, printed) == (130, b"")
    assert f"job {job_id} goes on" in said.decode()
    assert f"  s3mr watch {job_id} --stack {stack.name}\n" in said.decode()
    assert b"Traceback" not in said
    assert not json.loads(typed("status", job_id, "--json").stdout)["cancel_requested"]
    asking = typed("cancel", job_id)
    assert (asking.returncode, asking.stdout) == (0, b"")
    assert "(its end was asked for)" in typed("status", job_id).stdout.decode()
    stack.bring_to_its_end(job_id)
    watched = typed("watch", job_id)
    assert (watched.returncode, watched.stderr) == (1, f"s3mr: the job failed: {job_id} was cancelled\n".encode())
    assert json.loads(typed("cancel", job_id, "--json").stdout) == {"job_id": job_id, "answer": "cancelled"}
    assert output(stack) == []


def test_a_user_exception_ends_the_command_with_their_traceback_and_none_of_ours(
    typed: Run, stack: MotoStack, tmp_path: Path
) -> None:
    running = start(stack, tmp_path, job="fails")
    (job_id,) = job_ids(stack)
    stack.bring_to_its_end(job_id)
    printed, said = running.communicate(timeout=60)
    assert (running.returncode, printed) == (1, b"")
    text = said.decode()
    assert "ValueError: as planned" in text
    assert "source: s3://" in text
    assert 'job.py", line' in text
    assert text.count("Traceback") == 1
    assert "s3mr/" not in text
    shown = typed("status", job_id).stdout.decode()
    assert "phase     failed" in shown
    assert "ValueError: as planned" in shown
    told = json.loads(typed("history", job_id, "map/0", "--json").stdout)["executions"]
    assert [(one["attempt"], one["verdict"]) for one in told] == [(1, "failed"), (2, "failed")]
    assert "ValueError" in told[0]["failure"]["traceback"]


def test_a_job_whose_coordinator_has_died_gets_another_from_whoever_looks_after_it(
    typed: Run, stack: MotoStack
) -> None:
    job_id = submitted(typed, stack)
    machine = stack.client("stepfunctions")
    machine.stop_execution(executionArn=stack.executions()[0]["executionArn"])
    assert typed("cancel", job_id).returncode == 0
    assert [one["name"] for one in stack.executions()] == [f"{job_id}-0", f"{job_id}-1"]
    assert typed("cancel", job_id).returncode == 0
    assert len(stack.executions()) == 2


def test_a_job_whose_coordinator_cannot_be_started_has_failed_and_holds_nothing(typed: Run, stack: MotoStack) -> None:
    stack.client("stepfunctions").delete_state_machine(stateMachineArn=stack.outputs["JobsArn"])
    done = typed("submit", *asked(stack))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"starting the coordinator" in done.stderr
    (job_id,) = job_ids(stack)
    told = json.loads(typed("status", job_id, "--json").stdout)
    assert told["phase"] == "failed"
    assert "coordinator could not be started" in told["failure"]["message"]
    assert stack.stack.store.claim_output(told["output"], job_id="another") is None
    assert typed("clean", job_id).returncode == 0
    assert "no jobs yet" in typed("ls").stderr.decode()
    assert not stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix="plan/").get("KeyCount")


REFUSED = [
    ({"stack": "nowhere"}, "there is no stack nowhere in eu-central-1"),
    ({"input": "s3://elsewhere/x"}, "deploy it with InputBuckets=elsewhere"),
    ({"input": "job.py"}, "workers on AWS reach S3 alone"),
    ({"input": "s3://{bucket}/input/none"}, "no input"),
    ({"output": "s3://elsewhere/x"}, "deploy it with OutputBuckets=elsewhere"),
    ({"output": "out/"}, "workers on AWS reach S3 alone"),
    ({"more": "--memory=1GiB"}, "--memory: workers of stack"),
    ({"more": "--task-timeout=60"}, "at most 45"),
    ({"more": "--workers=5"}, "--workers must be from 1 to 4"),
    ({"more": "--deadline=7d"}, "--deadline"),
    ({"more": "--deadline=soon"}, "not a duration"),
    ({"more": "--reducers=0"}, "--reducers"),
]


def test_what_cannot_work_on_the_stack_is_refused_before_anything_is_written(s3mr: Run, stack: MotoStack) -> None:
    for change, said in REFUSED:
        given = {"stack": stack.name, "input": f"s3://{stack.bucket}/input/", "output": f"s3://{stack.bucket}/output/x"}
        given |= {name: text.format(bucket=stack.bucket) for name, text in change.items()}
        more = [given["more"]] if "more" in given else []
        places = ("--output", given["output"], "--stack", given["stack"])
        done = s3mr("submit", "job.py:count", given["input"], *places, *more)
        assert (done.returncode, done.stdout) == (2, b""), change
        assert said in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1
    assert not stack.executions()
    assert not job_ids(stack)


def test_without_credentials_it_is_said_what_to_do(s3mr: Run, stack: MotoStack, tmp_path: Path) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    done = s3mr("ls", "--stack", stack.name, **nobody, **files)
    assert done.returncode == 2
    assert b"no valid AWS credentials" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_stack_may_be_named_by_a_variable_but_run_stays_here_without_an_option(
    s3mr: Run, stack: MotoStack, tmp_path: Path
) -> None:
    assert s3mr("ls", S3MR_STACK=stack.name).returncode == 0
    (tmp_path / "in.txt").write_text("a\n")
    done = s3mr("run", "job.py:count", "in.txt", "--quiet", S3MR_STACK=stack.name)
    assert done.stdout == b"a\t1\n"
    assert not job_ids(stack)


def test_logs_are_those_of_a_job_or_a_task_and_follow_it_to_its_end(
    typed: Run, stack: MotoStack, tmp_path: Path
) -> None:
    job_id = submitted(typed, stack)
    at = stack.stack.clock.now()

    def line(task: int, message: str, **more: Any) -> dict[str, Any]:
        return {"job_id": job_id, "phase": "map", "task": task, "attempt": 1, "message": message, **more}

    user = {"level": "INFO", "stream": "user"}
    stack.log("map", line(0, "mapping a", **user), line(1, "mapping b", **user), "REPORT RequestId: x", at=at)
    stack.log("map", line(1, "died", level="ERROR"), line(1, "not mine", **user) | {"job_id": "other"}, at=at + 1)
    stack.log("map", line(0, "executed", level="INFO", failure=None), at=at + 1)
    stack.log("tick", {"job_id": job_id, "level": "INFO", "message": "ticked", "wait_s": 1}, at=at + 2)
    shown = [text.split("  ", 1)[1] for text in typed("logs", job_id).stdout.decode().splitlines()]
    assert shown == ["map/0#1       mapping a", "map/1#1       mapping b", "map/1#1       ERROR: [died]"]
    assert typed("logs", job_id, "--all").stdout.decode().splitlines()[-1].endswith("[ticked wait_s=1]")
    one = typed("logs", job_id, "--phase", "map", "--task", "0", "--json").stdout.decode().splitlines()
    assert [json.loads(text)["message"] for text in one] == ["mapping a"]
    assert typed("logs", job_id, "--task", "reduce/0").stdout == b""

    command = [str(S3MR), "logs", job_id, "--task", "map/2", "--follow", "--stack", stack.name]
    following = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    assert following.stdout is not None
    stack.log("map", line(2, "first", **user), at=at + 3)
    assert following.stdout.readline().endswith(b"first\n")
    stack.log("map", line(2, "second", **user), at=at + 4)
    stack.bring_to_its_end(job_id)
    rest, _ = following.communicate(timeout=60)
    assert (following.returncode, rest.split()[-1], rest.count(b"\n")) == (0, b"second", 1)


def test_a_cancelled_job_is_resumed_as_a_new_one_that_takes_over_what_was_mapped(typed: Run, stack: MotoStack) -> None:
    old = submitted(typed, stack)
    until(lambda: stack.tick(old).job.phase is Phase.REDUCE, "all is mapped")
    assert typed("cancel", old).returncode == 0
    stack.bring_to_its_end(old)
    done = typed("resume", old, "--detach")
    assert (done.returncode, done.stderr) == (0, b"")
    new = done.stdout.decode().strip()
    assert new != old
    assert f"{new}-0" in [one["name"] for one in stack.executions()]
    assert stack.bring_to_its_end(new).job.attempts == 2
    assert output(stack) == COUNTED
    assert "resumes   " + old in typed("status", new).stdout.decode()
    refused = typed("resume", new)
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)
    assert b"nothing to resume" in refused.stderr


def test_python_runs_and_submits_on_a_stack(stack: MotoStack, tmp_path: Path) -> None:
    place = f"s3://{stack.bucket}/input/"
    (tmp_path / "script.py").write_text(
        "from job import count\n"
        f"print(count.submit({place!r}, 's3://{stack.bucket}/output/one', stack={stack.name!r}, deadline='1h'))\n"
        f"result = count.run({place!r}, 's3://{stack.bucket}/output/two', stack={stack.name!r}, reducers=1)\n"
        "print(result.job_id, result.parts, result.counters.records_out)\n"
    )
    command = [str(S3MR.with_name("python")), "script.py"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: len(stack.executions()) == 2, "both are submitted")
    for job_id in job_ids(stack):
        stack.bring_to_its_end(job_id)
    printed, said = running.communicate(timeout=60)
    assert running.returncode == 0, said.decode()
    first, *second = printed.decode().split()
    assert sorted([first, second[0]]) == sorted(job_ids(stack))
    assert second[1:] == ["1", "5"]
    assert output(stack, "one") == output(stack, "two") == COUNTED


def test_jobs_at_an_endpoint_are_looked_after_with_the_same_commands(
    s3mr: Run, stack: MotoStack, endpoint: str
) -> None:
    place = ("--endpoint-url", endpoint)
    given = ("job.py:count", f"s3://{stack.bucket}/input/", "--output", f"s3://{stack.bucket}/output/here")
    done = s3mr("run", *given, "--split-size", "8", "--workers", "2", *place, AWS_ENDPOINT_URL="")
    assert done.returncode == 0, done.stderr.decode()
    assert output(stack, "here") == COUNTED
    job = json.loads(s3mr("ls", "--json", *place).stdout)["jobs"][0]
    job_id = job["job_id"]
    assert done.stderr.decode().startswith(f"job      {job_id} (--endpoint-url {endpoint})\n")
    assert job["phase"] == "succeeded"
    assert "map       3 of 3 done" in s3mr("status", job_id, *place).stdout.decode()
    assert s3mr("watch", job_id, "--quiet", "--json", *place).returncode == 0
    assert b"won" in s3mr("history", job_id, "map/0", *place).stdout
    assert b"too late" in s3mr("cancel", job_id, *place).stderr
    assert b"may still write until" in s3mr("clean", job_id, *place).stderr
    assert b"nothing to resume" in s3mr("resume", job_id, *place).stderr


def test_a_reader_of_json_gets_it_while_two_threads_watch(typed: Run, stack: MotoStack) -> None:
    job_id = submitted(typed, stack)
    found: list[Finished] = []
    watching = [threading.Thread(target=lambda: found.append(typed("watch", job_id, "--json"))) for _ in range(2)]
    for thread in watching:
        thread.start()
    stack.bring_to_its_end(job_id)
    for thread in watching:
        thread.join(60)
    assert [json.loads(done.stdout)["job_id"] for done in found] == [job_id, job_id]
