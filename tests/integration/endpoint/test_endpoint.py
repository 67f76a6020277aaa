"""``--endpoint-url``: services that persist, with workers on this machine."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import boto3
import pytest
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_s3 import S3Client

from s3mr.errors import RequestError
from s3mr.local.cloud import open_cloud
from s3mr.local.driver import NoView, Run
from s3mr.model import object_names
from s3mr.model.job import Phase
from s3mr.settings import Settings
from tests.integration.conftest import RUN_S_MAX
from tests.integration.endpoint.conftest import EXPECTED, Place, lines_in, lines_of
from tests.integration.test_processes import GONE_S_MAX, until
from tests.services import services


def test_a_job_runs_on_this_machine_with_its_bucket_and_table_at_the_endpoint(place: Place, s3: S3Client) -> None:
    done = place.s3mr(*place.run("--output", "out", "--json"))
    assert done.returncode == 0, done.stderr.decode()
    assert lines_of(place.here / "out") == EXPECTED
    assert (json.loads(done.stdout)["attempts"], place.newest().phase) == (9, Phase.SUCCEEDED)
    assert os.environ["S3MR_BUCKET"] in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    place.assert_nothing_left()


def test_without_an_output_the_result_is_printed(place: Place) -> None:
    done = place.s3mr(*place.run("--quiet"))
    assert sorted(done.stdout.decode().splitlines()) == EXPECTED, done.stderr.decode()
    place.assert_nothing_left()


def test_inputs_and_outputs_in_s3_use_the_endpoint(place: Place, s3: S3Client, bucket: str) -> None:
    arguments = ["run", "job.py:job", f"s3://{bucket}/in", "--output", f"s3://{bucket}/out"]
    done = place.s3mr(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert lines_in(s3, bucket, "out") == EXPECTED
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    place.assert_nothing_left()


def test_intermediates_are_kept_in_a_folder_and_in_the_bucket(place: Place) -> None:
    done = place.s3mr(*place.run("--output", "out", "--keep-intermediate", "kept"))
    assert done.returncode == 0, done.stderr.decode()
    names = {str(path.relative_to(place.here / "kept")) for path in (place.here / "kept").rglob("*") if path.is_file()}
    job_id = place.newest().spec.job_id
    assert names == {key for prefix in ("plan", "jobs") for key in place.stack.objects.list(f"{prefix}/{job_id}/")}
    assert len(names) > 6


@pytest.mark.parametrize("hold", ["map c.txt", "busy map c.txt"], ids=["waiting", "busy in C"])
def test_kill_9_leaves_only_the_unfinished_output(place: Place, hold: str) -> None:
    place.write_lines("hold", hold)
    command = place.start(*place.run("--output", "out"))
    until(lambda: "map c.txt" in place.log(), "a map runs")
    until(lambda: place.newest().phase is Phase.MAP, "the job is stored")
    command.kill()
    command.wait()
    place.assert_no_process()
    until(lambda: not list(place.tmp.iterdir()), "no temporary file is left", GONE_S_MAX)
    staging = [path.name for path in place.here.iterdir() if path.name.startswith(".")]
    assert staging == [f".out.s3mr-{place.newest().spec.job_id}"]
    assert place.s3mr("cancel", place.newest().spec.job_id).returncode == 0
    assert place.newest().phase is Phase.CANCELLED
    assert not [path for path in place.here.iterdir() if path.name.startswith(".")]


def test_an_unreachable_endpoint_is_reported_before_anything_runs(place: Place) -> None:
    place.url = "http://127.0.0.1:9"
    refused = place.s3mr(*place.run("--output", "out"))
    assert refused.returncode == 2
    assert b"nothing was started" in refused.stderr
    assert not (place.here / "log").exists()
    until(lambda: not list(place.tmp.iterdir()), "no temporary file is left", GONE_S_MAX)
    assert not [path for path in place.here.iterdir() if path.name.startswith(".")]


def test_if_the_services_die_during_a_job_the_error_says_how_to_resume(place: Place) -> None:
    place.write_lines("hold", "map c.txt")
    with services() as running:
        place.url = running.url
        command = place.start(*place.run("--output", "out"))
        until(lambda: "map c.txt" in place.log(), "a map runs")
        running.process.kill()
    (place.here / "hold").unlink()
    _, stderr = command.communicate(timeout=RUN_S_MAX)
    assert command.returncode == 1
    assert b"the job kept its progress; continue with: s3mr resume" in stderr
    assert len(list(place.here.glob(".out.s3mr-*"))) == 1


@pytest.mark.parametrize("again", [False, True], ids=["by its command", "by a resume"])
def test_a_job_that_the_services_lost_leaves_nothing_and_cannot_be_resumed(
    place: Place, endpoint: str, *, again: bool
) -> None:
    place.url = endpoint
    place.write_lines("hold", "map c.txt")
    command = place.start(*place.run("--output", "out"))
    until(lambda: "map c.txt" in place.log(), "a map runs")
    job_id = place.newest().spec.job_id
    if again:
        command.kill()
        command.wait()
        (place.here / "log").unlink()
        command = place.start("resume", job_id, "--workers", "2")
        until(lambda: (place.here / "log").exists() and "map c.txt" in place.log(), "a map runs again")
    reset = urlsplit(endpoint)
    with closing(HTTPConnection(reset.netloc)) as connection:
        connection.request("POST", "/moto-api/reset")
        assert connection.getresponse().status == 200
    (place.here / "hold").unlink()
    _, stderr = command.communicate(timeout=RUN_S_MAX)
    assert command.returncode == 1
    assert b"have lost job" in stderr
    assert b"run it again" in stderr
    assert b"s3mr resume" not in stderr
    assert not list(place.here.glob(".out.s3mr-*"))
    assert not (place.here / "out").exists()
    refused = place.s3mr("resume", job_id)
    assert (refused.returncode, f".OUTPUT.s3mr-{job_id}".encode() in refused.stderr) == (2, True)


def test_concurrent_commands_create_the_bucket_and_the_table_once(place: Place, s3: S3Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        for created in [pool.submit(create, place.url) for _ in range(8)]:
            created.result()
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]].count(os.environ["S3MR_BUCKET"]) == 1


def create(url: str) -> None:
    with open_cloud(url) as cloud:
        cloud.create_stack()
        cloud.create_stack()


def test_ctrl_c_before_the_job_is_stored_leaves_nothing_in_the_bucket(place: Place) -> None:
    with open_cloud(place.url) as cloud:
        cloud.create_stack()
        pool = cloud.start_workers(1, cloud.stack.recorder().record)
        run = Run(cloud, pool, cloud.stack.ticker(pool, capacity=1), "job-1", NoView())

        def begin() -> None:
            cloud.stack.objects.put(object_names.plan("job-1"), b"plan")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt, match="nothing was written"):
            run.to_its_end(begin, again=False)
        assert not list(cloud.stack.objects.list(""))


def test_bucket_and_table_are_named_s3mr_by_default() -> None:
    settings = Settings.at_endpoint("http://host:1", {})
    assert (settings.bucket, settings.table, settings.endpoint_url) == ("s3mr", "s3mr", "http://host:1")
    assert Settings.from_environment(settings.to_environment()) == settings
    for wrong in ("host:9000", "s3://bucket", "http://", "http://host:port", ""):
        with pytest.raises(RequestError, match="--endpoint-url"):
            Settings.at_endpoint(wrong, {})


def test_a_bucket_is_created_in_the_configured_region(
    place: Place, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    create(place.url)
    place_of = s3.get_bucket_location(Bucket=os.environ["S3MR_BUCKET"])
    assert place_of["LocationConstraint"] == "eu-central-1"


def test_a_table_that_is_not_s3mrs_is_refused(place: Place) -> None:
    dynamodb: DynamoDBClient = boto3.client("dynamodb", endpoint_url=place.url, region_name="us-east-1")
    dynamodb.create_table(
        TableName=os.environ["S3MR_TABLE"],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    refused = place.s3mr(*place.run("--output", "out"))
    assert refused.returncode == 2
    assert b"is not one of s3mr's" in refused.stderr


def test_dynamodb_may_have_another_endpoint_than_s3(
    place: Place, serving: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = serving()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", elsewhere)
    done = place.s3mr(*place.run("--output", "out"))
    assert done.returncode == 0, done.stderr.decode()
    assert lines_of(place.here / "out") == EXPECTED
    dynamodb = {
        each: boto3.client("dynamodb", endpoint_url=each, region_name="us-east-1") for each in (place.url, elsewhere)
    }
    assert os.environ["S3MR_TABLE"] not in dynamodb[place.url].list_tables()["TableNames"]
    assert os.environ["S3MR_TABLE"] in dynamodb[elsewhere].list_tables()["TableNames"]
