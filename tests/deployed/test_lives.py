"""Jobs that are cancelled and resumed, or that run while the stack is updated."""

import shutil
from pathlib import Path

from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.lambda_resources import FUNCTIONS
from tests.deployed.harness.leases import expire_leases
from tests.deployed.harness.person import Person
from tests.deployed.harness.waiting import WAITS, TaskGate, until

TWO_TASKS = ("quick", "slow!")  # with a split size of 5 bytes


def begin(person: Person, gate: TaskGate) -> tuple[str, str]:
    """Submit a job; when one of its tasks is done and one waits, return its ID and its output."""
    output = person.output()
    options = ("--split-size", "5", "--reducers", "1", *gate.options)
    job_id = person.submit(person.job(WAITS), person.upload(*TWO_TASKS), "--output", output, *options)
    until(lambda: gate.reached("slow!") and person.ask("status", job_id)["tasks"][0]["done"] == 1)
    return job_id, output


def test_a_cancelled_job_writes_nothing_can_be_resumed_and_then_cleaned_up(sealed: Person, gate: TaskGate) -> None:
    job_id, output = begin(sealed, gate)
    assert sealed.ask("cancel", job_id)["answer"] in {"asked", "cancelled"}
    assert "cancelled" in sealed.run("watch", job_id, expect=1).stderr
    assert sealed.names(output) == []
    assert sealed.uploads(output) == []

    gate.open()
    result = sealed.ask("resume", job_id)
    assert sealed.lines(output) == ["quick\t1", "slow!\t1"]
    assert result["attempts"] == 2  # the slow map task and the reduce task; the quick one's result was adopted

    assert "may still write" in sealed.run("clean", job_id, expect=2).stderr
    expire_leases(sealed, job_id)
    sealed.run("clean", job_id)
    sealed.run("status", job_id, expect=2)
    bucket = sealed.stack.outputs["BucketName"]
    assert not sealed.s3.list_objects_v2(Bucket=bucket, Prefix=f"plan/{job_id}/").get("Contents")
    assert not sealed.s3.list_objects_v2(Bucket=bucket, Prefix=f"jobs/{job_id}/").get("Contents")


def test_a_deploy_does_not_affect_a_running_job(
    aws: Cloud, person: Person, built: Path, tmp_path: Path, gate: TaskGate
) -> None:
    job_id, output = begin(person, gate)
    before = person.stack.outputs["MapArn"]
    changed = tmp_path / "built"
    shutil.copytree(built.parent, changed)
    for handler in changed.rglob("*_task.py"):
        handler.write_text(handler.read_text() + "\nprint('changed')\n")
    for handler in changed.rglob("record.py"):
        handler.write_text(handler.read_text() + "\nprint('changed')\n")
    person.stack.update(changed / built.name)
    gate.open()
    person.run("watch", job_id)
    assert person.lines(output) == ["quick\t1", "slow!\t1"]
    assert _printed(aws, "s3mr-map") == []
    assert person.stack.outputs["MapArn"] == before

    function, _ = FUNCTIONS.find("s3mr-map")
    assert set(function.versions) == {"1", "2"}
    assert function.aliases["live"] == "2"
    assert [function.invoke_configs[number].retries_max for number in ("1", "2")] == [0, 0]
    person.run("run", person.job(WAITS), person.upload("x"), "--output", person.output(), *gate.options)
    assert until(lambda: _printed(aws, "s3mr-map"))
    assert until(lambda: _printed(aws, "s3mr-record"))


def _printed(aws: Cloud, function: str) -> list[str]:
    events = aws.administrators("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
    return [event["message"] for event in events if event["message"] == "changed"]
