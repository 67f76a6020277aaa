"""Managing jobs that run on a stack: status, logs, coordinators, cancelling and resuming."""

import json
import os
from pathlib import Path
from typing import Any

from tests.integration.moto_stack import MotoStack
from tests.integration.stack.conftest import COUNTED, Run, output, submitted
from tests.integration.test_processes import until
from tests.warm_commands import WarmCommands


def test_a_job_is_followed_from_submission_to_success(typed: Run, stack: MotoStack) -> None:
    job_id = submitted(typed, stack, "--deadline", "30m", "--workers", "2")
    stack.tick(job_id)
    status = json.loads(typed("status", job_id, "--json").stdout)
    assert status["tasks"][0] == {"phase": "map", "tasks": 3, "done": 0}
    assert status["deadline_at"] - status["created_at"] == 1800
    shown = typed("status", job_id).stdout.decode()
    assert "map          0 of 3 done" in shown
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


def test_cancelling_a_job_restarts_a_coordinator_that_died(typed: Run, stack: MotoStack) -> None:
    job_id = submitted(typed, stack)
    machine = stack.client("stepfunctions")
    machine.stop_execution(executionArn=stack.executions()[0]["executionArn"])
    assert typed("cancel", job_id).returncode == 0
    assert [one["name"] for one in stack.executions()] == [f"{job_id}-0", f"{job_id}-1"]
    assert typed("cancel", job_id).returncode == 0
    assert len(stack.executions()) == 2


def test_status_shows_whether_a_coordinator_runs_and_how_to_start_one(
    typed: Run, stack: MotoStack, tmp_path: Path, warm_commands: WarmCommands
) -> None:
    job_id = submitted(typed, stack)
    assert "\ncoordinator  running\n" in typed("status", job_id).stdout.decode()
    assert json.loads(typed("status", job_id, "--json").stdout)["coordinator"] is True
    stack.client("stepfunctions").stop_execution(executionArn=stack.executions()[0]["executionArn"])
    shown = typed("status", job_id).stdout.decode()
    advice = f"s3mr watch {job_id} --stack {stack.name}"
    assert f"\ncoordinator  not running: start one with {advice}\n" in shown
    assert json.loads(typed("status", job_id, "--json").stdout)["coordinator"] is False
    watching = warm_commands.start(advice.split()[1:], folder=tmp_path, environment=os.environ)
    until(lambda: len(stack.executions()) == 2, "another coordinator is started")
    stack.bring_to_its_end(job_id)
    _, stderr = watching.communicate(60)
    assert watching.returncode == 0, stderr.decode()
    assert "coordinator" not in typed("status", job_id).stdout.decode()


def test_logs_select_a_job_or_a_task_and_follow_it_to_its_end(
    typed: Run, stack: MotoStack, tmp_path: Path, warm_commands: WarmCommands
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

    arguments = ["logs", job_id, "--task", "map/2", "--follow", "--stack", stack.name]
    following = warm_commands.start(arguments, folder=tmp_path, environment=os.environ)
    stack.log("map", line(2, "first", **user), at=at + 3)
    assert following.stdout.readline().endswith(b"first\n")
    stack.log("map", line(2, "second", **user), at=at + 4)
    stack.bring_to_its_end(job_id)
    rest, _ = following.communicate(timeout=60)
    assert (following.returncode, rest.split()[-1], rest.count(b"\n")) == (0, b"second", 1)


def test_jobs_at_an_endpoint_are_managed_with_the_same_commands(s3mr: Run, stack: MotoStack, endpoint: str) -> None:
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
