"""Submitting to a stack: what a submission starts, what is refused, and what happens if the start fails."""

import json
import subprocess
from pathlib import Path

from tests.integration.moto_stack import MotoStack
from tests.integration.stack.conftest import COUNTED, Run, job_arguments, job_ids, output
from tests.integration.test_processes import until
from tests.warm_commands import S3MR


def test_submit_prints_only_the_id_and_pins_the_live_function_versions(typed: Run, stack: MotoStack) -> None:
    done = typed("submit", *job_arguments(stack))
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
    as_json = json.loads(typed("submit", *job_arguments(stack, name="more"), "--json").stdout)["job_id"]
    assert json.loads(stack.executions()[1]["input"])["tick"].endswith(f":function:{stack.name}-tick:2")
    assert as_json in job_ids(stack)


def test_a_job_whose_coordinator_cannot_start_fails_and_holds_nothing(typed: Run, stack: MotoStack) -> None:
    stack.client("stepfunctions").delete_state_machine(stateMachineArn=stack.outputs["JobsArn"])
    done = typed("submit", *job_arguments(stack))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"starting the coordinator" in done.stderr
    (job_id,) = job_ids(stack)
    status = json.loads(typed("status", job_id, "--json").stdout)
    assert status["phase"] == "failed"
    assert "cannot start its coordinator" in status["failure"]["message"]
    assert stack.stack.store.claim_output(status["output"], job_id="another") is None
    assert typed("clean", job_id).returncode == 0
    assert "no jobs yet" in typed("ls").stderr.decode()
    assert not stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix="plan/").get("KeyCount")


REFUSED = [
    ({"stack": "nowhere"}, "there is no stack nowhere in eu-central-1"),
    ({"input": "s3://elsewhere/x"}, "deploy it with InputBuckets=elsewhere"),
    ({"input": "job.py"}, "workers on AWS can only use S3"),
    ({"input": "s3://{bucket}/input/none"}, "no input"),
    ({"output": "s3://elsewhere/x"}, "deploy it with OutputBuckets=elsewhere"),
    ({"output": "out/"}, "workers on AWS can only use S3"),
    ({"more": "--memory=1GiB"}, "--memory: workers of stack"),
    ({"more": "--task-timeout=60"}, "at most 45"),
    ({"more": "--workers=5"}, "--workers must be a whole number from 1 to 4"),
    ({"more": "--deadline=7d"}, "--deadline"),
    ({"more": "--deadline=soon"}, "not a duration"),
    ({"more": "--reducers=0"}, "--reducers"),
]


def test_invalid_submissions_are_refused_before_anything_is_written(s3mr: Run, stack: MotoStack) -> None:
    for change, message in REFUSED:
        given = {"stack": stack.name, "input": f"s3://{stack.bucket}/input/", "output": f"s3://{stack.bucket}/output/x"}
        given |= {name: text.format(bucket=stack.bucket) for name, text in change.items()}
        more = [given["more"]] if "more" in given else []
        places = ("--output", given["output"], "--stack", given["stack"])
        done = s3mr("submit", "job.py:count", given["input"], *places, *more)
        assert (done.returncode, done.stdout) == (2, b""), change
        assert message in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1
    assert not stack.executions()
    assert not job_ids(stack)


def test_missing_credentials_are_refused_without_a_traceback(s3mr: Run, stack: MotoStack, tmp_path: Path) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    done = s3mr("ls", "--stack", stack.name, **nobody, **files)
    assert done.returncode == 2
    assert b"no valid AWS credentials" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unreachable_stack_or_an_invalid_configuration_starts_nothing(s3mr: Run, stack: MotoStack) -> None:
    place = ("--stack", stack.name)
    commands = (
        ("run", *job_arguments(stack), *place),
        ("submit", *job_arguments(stack), *place),
        ("resume", "a-job", *place),
    )
    for command in commands:
        done = s3mr(*command, AWS_ENDPOINT_URL="http://127.0.0.1:9")
        assert (done.returncode, done.stdout) == (2, b"")
        stderr = done.stderr.decode()
        assert stderr.startswith(
            f"s3mr: nothing was started: looking for stack {stack.name} in eu-central-1: Could not"
        )
        assert stderr.count("\n") == 1
    wrong = s3mr("status", "a-job", *place, AWS_ENDPOINT_URL="127.0.0.1:9")
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert wrong.stderr.startswith(b"s3mr: the AWS configuration: Invalid endpoint: 127.0.0.1:9: ")


def test_s3mr_stack_names_the_stack_but_run_stays_local_without_the_option(
    s3mr: Run, stack: MotoStack, tmp_path: Path
) -> None:
    assert s3mr("ls", S3MR_STACK=stack.name).returncode == 0
    (tmp_path / "in.txt").write_text("a\n")
    done = s3mr("run", "job.py:count", "in.txt", "--quiet", S3MR_STACK=stack.name)
    assert done.stdout == b"a\t1\n"
    assert not job_ids(stack)


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
    printed, stderr = running.communicate(timeout=60)
    assert running.returncode == 0, stderr.decode()
    first, *second = printed.decode().split()
    assert sorted([first, second[0]]) == sorted(job_ids(stack))
    assert second[1:] == ["1", "5"]
    assert output(stack, "one") == output(stack, "two") == COUNTED
