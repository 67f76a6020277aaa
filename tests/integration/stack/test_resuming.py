"""Resuming a job on a stack, before and after the stack is redeployed."""

import sys
from pathlib import Path

import pytest

from s3mr.model.job import Phase
from tests.integration.conftest import Finished
from tests.integration.moto_stack import REGION, MotoStack
from tests.integration.stack.conftest import COUNTED, Run, job_arguments, job_ids, output, submitted
from tests.integration.test_processes import until

ELF_X86_64 = b"\x7fELF" + bytes(14) + (62).to_bytes(2, "little")
HERE = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def cancelled(typed: Run, stack: MotoStack, job_id: str) -> str:
    """Cancel a job after all its map tasks have finished."""
    until(lambda: stack.tick(job_id).job.phase is Phase.REDUCE, "all map tasks have finished")
    assert typed("cancel", job_id).returncode == 0
    stack.bring_to_its_end(job_id)
    return job_id


def test_a_cancelled_job_is_resumed_as_a_new_job_that_reuses_its_map_output(typed: Run, stack: MotoStack) -> None:
    old = cancelled(typed, stack, submitted(typed, stack))
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


@pytest.mark.parametrize("change", [{"FunctionArchitecture": "arm64"}, {"FunctionRuntime": "python3.10"}])
def test_compiled_code_that_the_stack_can_no_longer_load_is_refused_at_resume(
    typed: Run, stack: MotoStack, tmp_path: Path, change: dict[str, str]
) -> None:
    name = f"fast.cpython-3{sys.version_info[1]}-x86_64-linux-gnu.so"
    (tmp_path / name).write_bytes(ELF_X86_64)
    stack.deploy(FunctionRuntime=HERE)
    old = cancelled(typed, stack, submitted(typed, stack, "--include", name))
    stack.deploy(**change)
    refused = typed("resume", old, "--detach")
    assert (refused.returncode, refused.stdout, refused.stderr.count(b"\n")) == (2, b"", 1)
    runtime = stack.outputs["FunctionRuntime"]
    assert f"not compiled for the stack's platform, {runtime} on Linux" in stderr_of(refused)
    assert f"{name}. Run the job again" in stderr_of(refused)
    assert job_ids(stack) == [old]
    stack.deploy(FunctionRuntime=HERE, FunctionArchitecture="x86_64")
    assert typed("resume", old, "--detach").returncode == 0


@pytest.mark.parametrize("kind", ["Input", "Output"])
def test_a_bucket_that_the_stack_no_longer_declares_is_refused_at_resume(
    typed: Run, stack: MotoStack, kind: str
) -> None:
    bucket = f"{stack.name}-users"
    stack.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    stack.s3.put_object(Bucket=bucket, Key="in/d.txt", Body=b"to be d\n")
    stack.deploy(**{f"{kind}BucketNames": bucket})
    job, own, _, out, *more = job_arguments(stack)
    places = [own, f"s3://{bucket}/in/", "--output", out] if kind == "Input" else [own, "--output", f"s3://{bucket}/o"]
    done = typed("submit", job, *places, *more)
    assert done.returncode == 0, stderr_of(done)
    old = cancelled(typed, stack, done.stdout.decode().strip())
    stack.deploy(**{f"{kind}BucketNames": "-"})
    refused = typed("resume", old, "--detach")
    assert (refused.returncode, refused.stdout, refused.stderr.count(b"\n")) == (2, b"", 1)
    assert f"have no access to bucket {bucket}; deploy it with {kind}Buckets={bucket}" in stderr_of(refused)
    assert job_ids(stack) == [old]
    if kind == "Output":
        return
    stack.deploy(InputBucketNames=bucket)
    assert typed("resume", old, "--detach").returncode == 0


def stderr_of(done: Finished) -> str:
    return done.stderr.decode()
