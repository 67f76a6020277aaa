"""The cost of a job on AWS: request counts by class, and dollars from one table of prices."""

from pathlib import Path

import pytest

from s3mr.cli.summary import summary
from s3mr.model import cost, prices
from s3mr.model.cost import Cost, Requests
from s3mr.model.job import JobState, Phase
from s3mr.model.result import JobResult
from s3mr.model.statistics import Counters
from tests.unit.test_scheduler import job as some_job

COUNTS = {
    "s3:PutObject": 12,
    "s3:ListObjectsV2": 3,
    "s3:ListMultipartUploads": 1,
    "s3:CreateMultipartUpload": 2,
    "s3:UploadPart": 5,
    "s3:CompleteMultipartUpload": 2,
    "s3:CopyObject": 1,
    "s3:GetObject": 40,
    "s3:HeadObject": 1,
    "s3:HeadBucket": 1,
    "s3:DeleteObjects": 2,
    "s3:AbortMultipartUpload": 1,
    "dynamodb:PutItem": 20,
    "dynamodb:Query": 4,
}


def ended(*, elapsed_s: float, output: str = "s3://bucket/out", **changes: object) -> JobState:
    """Return a job of 10 maps and 1 reducer that has succeeded."""
    job = some_job(10)
    spec = job.spec.model_copy(update={"map_tasks": 10, "reducers": 1, "output": output, "input_objects": 30})
    state = {"spec": spec, "phase": Phase.SUCCEEDED, "created_at": 100.0, "ended_at": 100.0 + elapsed_s, "attempts": 11}
    return job.model_copy(update={**state, **changes})


def test_requests_are_counted_by_price_class() -> None:
    counted = Requests.of(COUNTS)
    assert counted == Requests(s3_put_class=26, s3_get_class=42, s3_free=3, dynamodb=24)


def test_a_worker_hour_costs_lambdas_price_for_its_memory() -> None:
    idle = Cost.estimate(ended(elapsed_s=10.0), {}, whole=True)
    busy = Cost.estimate(ended(elapsed_s=10.0, counters=Counters(busy_s=3600.0)), {}, whole=True)
    assert busy.lambda_usd - idle.lambda_usd == pytest.approx(3600 * 1769 / 1024 * 0.0000133334)
    assert busy.total_usd == pytest.approx(busy.lambda_usd + busy.s3_usd + busy.dynamodb_usd + busy.step_functions_usd)


def test_s3_requests_cost_the_price_of_their_class() -> None:
    assert Cost.estimate(ended(elapsed_s=1.0), COUNTS, whole=True).s3_usd == pytest.approx(26 * 5e-6 + 42 * 4e-7)


def test_local_files_are_priced_as_objects() -> None:
    files, objects = ended(elapsed_s=1.0, output="/out"), ended(elapsed_s=1.0)
    more = Cost.estimate(files, COUNTS, whole=True).s3_usd - Cost.estimate(objects, COUNTS, whole=True).s3_usd
    assert more == pytest.approx(4 * prices.S3_PUT_CLASS_USD + 30 * prices.S3_GET_CLASS_USD)


def test_the_requests_of_a_stacks_coordinator_are_estimated() -> None:
    job = ended(elapsed_s=1.0)
    assert Cost.estimate(job, COUNTS, whole=False).s3_usd > Cost.estimate(job, COUNTS, whole=True).s3_usd


@pytest.mark.parametrize(("elapsed_s", "rounds"), [(0.5, 2), (26.0, 2), (27.0, 3), (2600.0, 101)])
def test_a_round_costs_four_state_transitions(elapsed_s: float, rounds: int) -> None:
    assert Cost.estimate(ended(elapsed_s=elapsed_s), {}, whole=True).step_functions_usd == pytest.approx(
        rounds * 4 * 25e-6
    )


def test_each_attempt_costs_three_writes_to_the_table() -> None:
    few, many = (Cost.estimate(ended(elapsed_s=1.0, attempts=count), {}, whole=True) for count in (11, 1011))
    assert many.dynamodb_usd - few.dynamodb_usd == pytest.approx(2000 * 0.625e-6)  # the third is the winner's manifest


def test_memory_and_architecture_are_those_of_the_template() -> None:
    template = (Path(__file__).parents[2] / "template.yaml").read_text(encoding="utf-8")
    assert "    Default: 1769\n" in template
    assert cost.WORKER_GB == 1769 / 1024
    assert template.count("      MemorySize: 1024\n") == template.count("      MemorySize: 512\n") == 1
    assert (cost.TICK_GB, cost.RECORD_GB) == (1.0, 0.5)


def test_the_summary_shows_requests_and_cost_and_which_are_included() -> None:
    here = JobResult.of(ended(elapsed_s=1.0), requests=COUNTS)
    text = summary(here, shown_output=None)
    assert "requests S3 26 writes and lists, 42 reads; DynamoDB 24\n" in text
    assert f"AWS      about ${here.aws_cost.total_usd:.5f}: Lambda $" in text
    there = ended(elapsed_s=1.0, counters=Counters(requests={"s3:GetObject": 7}))
    text = summary(JobResult.of(there), shown_output=None)
    assert "requests S3 0 writes and lists, 7 reads (by workers only)\n" in text
