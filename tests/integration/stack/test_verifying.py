"""``s3mr verify ID``: compare an output with the record of its job."""

import json

from tests.integration.moto_stack import MotoStack
from tests.integration.stack.conftest import OUT, Run, submitted


def test_a_job_is_verified_by_its_id_once_it_has_succeeded(typed: Run, stack: MotoStack) -> None:
    job_id = submitted(typed, stack)
    early = typed("verify", job_id)
    assert (early.returncode, early.stdout) == (2, b"")
    assert early.stderr.decode() == f"s3mr: job {job_id} has no output to verify: its phase is map\n"
    stack.bring_to_its_end(job_id)
    result = json.loads(typed("verify", job_id, "--json").stdout)
    assert (result["proven"], result["job_id"], result["records"]) == (True, job_id, 5)
    assert result["output"] == OUT.format(bucket=stack.bucket, name="out")
    assert typed("verify", "20260102-030405-0a1b2c3d").returncode == 2


def test_a_complete_output_of_another_job_fails_verification(typed: Run, stack: MotoStack) -> None:
    mine, other = submitted(typed, stack), submitted(typed, stack, name="other")
    for job_id in (mine, other):
        stack.bring_to_its_end(job_id)
    for name in ("_SUCCESS", "part-00000", "part-00001"):
        source = {"Bucket": stack.bucket, "Key": f"output/other/{name}"}
        stack.s3.copy_object(Bucket=stack.bucket, Key=f"output/out/{name}", CopySource=source)
    assert typed("verify", OUT.format(bucket=stack.bucket, name="out")).returncode == 0
    done = typed("verify", mine)
    assert done.returncode == 1
    assert done.stdout.decode().splitlines()[1].split() == ["_SUCCESS", "job_id", mine, other]
    stack.s3.delete_object(Bucket=stack.bucket, Key="output/out/_SUCCESS")
    gone = json.loads(typed("verify", mine, "--json").stdout)
    assert [(one["name"], one["what"]) for one in gone["differences"]] == [("_SUCCESS", "existence")]
