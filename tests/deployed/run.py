"""Run any job on a simulated deployment: ``python -m tests.deployed.run JOB INPUT OUTPUT [OPTION …]`` (make deployed).

It builds the template, deploys it into a cloud in this process, uploads the input folder to a declared bucket, runs the
command with the permissions of SubmitPolicy, and downloads the committed output.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.deployed.harness.building import build
from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.constants import REGION
from tests.deployed.harness.person import environment
from tests.deployed.harness.stack import Stack, deploy
from tests.warm_commands import S3MR

INPUTS: Final = "deployed-inputs"
OUTPUTS: Final = "deployed-outputs"
PREFIX: Final = "job"
WORKERS: Final = "3"  # of a job at once: what this machine can run, not what Lambda can
WRONG: Final = 2
INTERRUPTED: Final = 130
FAILURES: Final = ("[ERROR]", "Task timed out", "Runtime exited")  # in the words of Lambda and its runtime client


def main(arguments: list[str]) -> int:
    """Deploy, upload, run, download; return the command's exit status."""
    if len(arguments) < 3:
        return _usage_error("make deployed JOB=FILE INPUT=FOLDER OUTPUT=FOLDER [ARGS='OPTION …']")
    job, given, wanted, *options = arguments
    inputs, output = Path(given), Path(wanted)
    if not inputs.exists():
        return _usage_error(f"the input {inputs} does not exist")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        return _usage_error(f"the output {output} exists and is not an empty folder: choose another one")
    _print("building the template")
    built = build()
    with Cloud() as cloud:
        stack = prepare(cloud, built)
        count = upload(cloud.administrators("s3"), inputs)
        _print(f"deployed as stack {stack.name}; {count} objects uploaded")
        submitter = cloud.add_user("submitter", stack.resource("SubmitPolicy"))
        places = (f"s3://{INPUTS}/{PREFIX}/", "--output", f"s3://{OUTPUTS}/{PREFIX}/", "--stack", stack.name)
        command = [str(S3MR), "run", job, *places, *options]
        status = subprocess.run(command, env=environment(submitter), check=False).returncode
        if status == 0:
            fetch(cloud.administrators("s3"), output)
            _print(f"the output is in {output}")
        for line in problems(cloud, stack):
            _print(line)
    return status


def prepare(cloud: Cloud, built: Path, name: str = "s3mr", **parameters: str) -> Stack:
    """Create the buckets and a stack that can use them."""
    given = {"InputBuckets": INPUTS, "OutputBuckets": OUTPUTS, "WorkersMax": WORKERS, **parameters}
    s3 = cloud.administrators("s3")
    for bucket in (*given["InputBuckets"].split(","), *given["OutputBuckets"].split(",")):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return deploy(cloud, built, name, **given)


def problems(cloud: Cloud, stack: Stack) -> Iterator[str]:
    """Yield problems to debug in the template or a handler: denied permissions, failed deliveries and functions."""
    for refusal in cloud.access.refusals:
        yield f"refused: {refusal.principal} {refusal.action} {refusal.resource}"
    yield from (f"not delivered: {what}" for what in cloud.service.undelivered)
    logs = cloud.administrators("logs")
    for function in ("tick", "record", "map", "reduce"):
        group = f"/aws/lambda/{stack.name}-{function}"
        for event in logs.filter_log_events(logGroupName=group)["events"]:
            if any(sign in event["message"] for sign in FAILURES):
                yield f"{function}: {event['message']}"


def upload(s3: Any, given: Path, prefix: str = PREFIX) -> int:
    """Upload a file, or all files of a folder, and return how many."""
    files = sorted(path for path in given.rglob("*") if path.is_file()) if given.is_dir() else [given]
    root = given if given.is_dir() else given.parent
    for path in files:
        s3.upload_file(str(path), INPUTS, f"{prefix}/{path.relative_to(root).as_posix()}")
    return len(files)


def fetch(s3: Any, output: Path, prefix: str = PREFIX) -> None:
    """Download all objects of a committed output."""
    output.mkdir(parents=True, exist_ok=True)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=OUTPUTS, Prefix=f"{prefix}/"):
        for found in page.get("Contents", []):
            s3.download_file(OUTPUTS, found["Key"], str(output / found["Key"].removeprefix(f"{prefix}/")))


def _print(text: str) -> None:
    sys.stderr.write(f"deployed: {text}\n")


def _usage_error(text: str) -> int:
    _print(text)
    return WRONG


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
