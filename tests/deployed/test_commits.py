"""The end of a job, for each kind of output: below a prefix or at a bucket's root, in the stack's own bucket or not.

Tasks fail half-way, events are duplicated, responses of S3 are lost, another process aborts an upload. Each of these is
tested at each output, because a part at a root and one below a prefix need different permissions.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployed.conftest import ROOT_OUTPUT
from tests.deployed.harness.calls import AwsCall
from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.lambda_service import Delivery, Event
from tests.deployed.harness.leases import SETTLE_S, run_last_round
from tests.deployed.harness.person import Person
from tests.deployed.harness.waiting import TaskGate, until

HALF_WAY_BYTES = 9 * 1024 * 1024  # more than an upload part: some of it is in S3 when the task fails

FAILS_HALF_WAY = """
    import os
    def once():
        try:
            os.close(os.open(params["mark"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        yield "x" * int(params["bytes"]), 1
        raise RuntimeError("half-way")
    def plain(source, line):
        yield line, 1
    def failing(source, line):
        yield from once()
        yield line, 1
    def total(key, values):
        yield from once()
        yield key, sum(values)
    mapping = Job(map=failing)
    reducing = Job(map=plain, reduce=total)
"""

COPIES = """
    def copy(source, line):
        yield line, 1
    job = Job(map=copy)
"""

LOSES_A_PART = """
    import pathlib, time
    import boto3
    def letters(source, line):
        yield "slow!", 1
        yield "quick", 1
    def wait(key, values):
        if key == "quick":  # a worker's rights are enough to leave an upload of another part open
            boto3.client("s3").create_multipart_upload(Bucket=params["bucket"], Key=params["prefix"] + "part-00000")
        while key == "slow!" and not pathlib.Path(params["gate"], "open").exists():
            time.sleep(0.05)
        yield key, sum(values)
    job = Job(map=letters, reduce=wait, partition=lambda key, reducers: int(key == "quick"))
"""


@pytest.fixture
def places(person: Person) -> Iterator[list[str]]:
    """Outputs at the root and below a prefix, of a declared bucket and of the stack's own."""
    own = person.stack.outputs["BucketName"]
    roots = [(ROOT_OUTPUT, ""), (own, "output/")]
    for bucket, prefix in roots:
        _empty(person, bucket, prefix)
    # The roots first: they must be empty when their job is submitted.
    yield [f"s3://{ROOT_OUTPUT}/", f"s3://{own}/output/", person.output(), f"s3://{own}/output/{next(person.numbers)}/"]
    for bucket, prefix in roots:
        _empty(person, bucket, prefix)


@pytest.mark.parametrize("job", ["mapping", "reducing"])
def test_a_part_is_committed_once_despite_failures_duplicates_and_lost_responses(
    aws: Cloud, person: Person, places: list[str], tmp_path: Path, job: str
) -> None:
    """The first attempt fails half-way, each event is delivered twice, the first response to each commit is lost.

    A second event may arrive after the job has ended: the last round aborts its upload.
    """
    file = person.job(FAILS_HALF_WAY)
    aws.service.delivery = Delivery(doubled=1.0)
    aws.gate.loses = LosesFirstResponse()
    try:
        jobs = []
        for number, output in enumerate(places):
            marked = ("--param", f"mark={tmp_path / str(number)}", "--param", f"bytes={HALF_WAY_BYTES}")
            reducers = ("--reducers", "1") if job == "reducing" else ()
            options = (*reducers, *marked, "--deadline", "3d")
            jobs.append(person.submit(f"{file}:{job}", person.upload("a"), "--output", output, *options))
        for job_id in jobs:
            person.run("watch", job_id)
    finally:
        aws.service.delivery, aws.gate.loses = Delivery(), lambda _call: False
    for job_id, output in zip(jobs, places, strict=True):
        assert person.lines(output) == ["a\t1"]
        run_last_round(person, job_id)
        assert person.uploads(output) == []


def test_the_last_round_aborts_the_upload_of_an_event_redelivered_after_the_end(
    aws: Cloud, person: Person, places: list[str]
) -> None:
    """Plan and bundle are kept, so any environment that gets the event finds what it needs."""
    file, sent = person.job(COPIES), list[Event]()

    def keep(event: Event) -> bool:
        if event.function.name.endswith("-map"):
            sent.append(event)
        return False

    aws.service.lost = keep
    try:
        for output in places:
            job_id = person.submit(file, person.upload("a"), "--output", output, "--keep-intermediate")
            person.run("watch", job_id)
            event = sent.pop()
            aws.service.accept(event.function, event.qualifier, event.payload)
            aws.service.settle(SETTLE_S)
            assert len(person.uploads(output)) == 1
            run_last_round(person, job_id)
            assert person.uploads(output) == []
            assert person.lines(output) == ["a\t1"]
    finally:
        aws.service.lost = lambda _event: False


def test_a_job_withdraws_its_committed_parts_if_an_upload_was_aborted(
    person: Person, places: list[str], gate: TaskGate
) -> None:
    file = person.job(LOSES_A_PART)
    jobs = []
    for output in places:
        bucket, _, prefix = output.removeprefix("s3://").partition("/")
        named = ("--param", f"bucket={bucket}", "--param", f"prefix={prefix}")
        options = ("--output", output, "--reducers", "2", *named, *gate.options)
        jobs.append(person.submit(file, person.upload("x"), *options))
    for output in places:
        ((key, upload_id),) = until(lambda: person.uploads(output, "part-00001"))  # noqa: B023 - awaited here
        upload = {"Bucket": output.split("/")[2], "Key": key, "UploadId": upload_id}
        until(lambda: person.s3.list_parts(**upload).get("Parts"))  # noqa: B023 - awaited here
        person.s3.abort_multipart_upload(**upload)
    gate.open()
    for job_id, output in zip(jobs, places, strict=True):
        assert "the upload is lost" in person.run("watch", job_id, expect=1).stderr
        assert person.names(output) == []
        ((key, _),) = person.uploads(output)  # it was not opened by an attempt of the job, so the job does not touch it
        assert key.endswith("part-00000")


class LosesFirstResponse:
    """LosesFirstResponse the first response to each commit: of a part, or of ``_SUCCESS``."""

    def __init__(self) -> None:
        self._lost: set[str] = set()

    def __call__(self, call: AwsCall) -> bool:
        completes = call.method == "POST" and "uploadId" in call.query
        publishes = call.method == "PUT" and call.path.endswith("/_SUCCESS")
        if not (completes or publishes) or call.path in self._lost:
            return False
        self._lost.add(call.path)
        return True


def _empty(person: Person, bucket: str, prefix: str) -> None:
    for found in person.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        person.s3.delete_object(Bucket=bucket, Key=found["Key"])
