"""``s3mr verify ID --endpoint-url URL``: jobs whose outputs are local folders or prefixes at the endpoint."""

import json

from mypy_boto3_s3 import S3Client

from tests.integration.endpoint.conftest import Place


def test_a_job_at_an_endpoint_is_verified_by_its_id_in_a_folder_and_in_s3(
    place: Place, s3: S3Client, bucket: str
) -> None:
    assert place.s3mr(*place.run("--output", "out", "--quiet")).returncode == 0
    elsewhere = place.here / "elsewhere"
    elsewhere.mkdir()
    in_folder = place.newest().spec.job_id
    assert place.s3mr("verify", in_folder, folder=elsewhere).returncode == 0
    assert place.s3mr(*place.run("--output", f"s3://{bucket}/out", "--quiet")).returncode == 0
    in_s3 = place.newest().spec.job_id
    assert json.loads(place.s3mr("verify", in_s3, "--json").stdout)["output"] == f"s3://{bucket}/out"
    s3.put_object(Bucket=bucket, Key="out/part-00001", Body=b"")
    assert place.s3mr("verify", in_s3).returncode == 1
    assert place.s3mr("verify", in_folder).returncode == 0


def test_a_job_that_printed_its_output_has_nothing_to_verify(place: Place) -> None:
    assert place.s3mr(*place.run("--quiet")).returncode == 0
    done = place.s3mr("verify", place.newest().spec.job_id)
    assert (done.returncode, b"it printed its output" in done.stderr) == (2, True)
