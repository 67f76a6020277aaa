"""Which jobs a stack accepts and refuses, according to its outputs."""

from typing import Any

import pytest

from s3mr import Job, limits
from s3mr.adapters.output_names import normal_output
from s3mr.errors import RequestError
from s3mr.model.job import SCHEMA_VERSION, WorkerFunctions
from s3mr.model.stack import StackDescription
from s3mr.options import JobRequest
from s3mr.policy.planning import check_shape, choose_reducers
from s3mr.remote.stack_submission import WORKER_END_S, check_places, place_facts


def stack(**changes: Any) -> StackDescription:
    return StackDescription.model_validate(
        {
            "name": "s3mr",
            "schema_version": SCHEMA_VERSION,
            "version": "0.1.0",
            "bucket": "own",
            "table": "table",
            "state_machine": "arn:aws:states:eu-central-1:123456789012:stateMachine:s3mr-jobs",
            "tick": "tick:7",
            "functions": WorkerFunctions(map="map:7", reduce="reduce:7"),
            "input_buckets": {"logs", "books"},
            "output_buckets": {"results"},
            "runtime": "python3.11",
            "architecture": "arm64",
            "memory_mb": 1769,
            "timeout_s": 900,
            "workers_max": 900,
            **changes,
        }
    )


@pytest.mark.parametrize(
    "given", ["s3://logs", "s3://logs/", "s3://books/a/*.txt", "s3://own/input/", "s3://own/input"]
)
def test_inputs_in_declared_buckets_and_in_the_stacks_own_folder_are_accepted(given: str) -> None:
    check_places(stack(), [given], "s3://results/a")


@pytest.mark.parametrize("output", ["s3://results", "s3://results/deep/er", "s3://own/output/a", "s3://own/output"])
def test_outputs_in_declared_buckets_and_in_the_stacks_own_folder_are_accepted(output: str) -> None:
    assert check_places(stack(), ["s3://logs/"], f"{output}/") == normal_output(output)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("s3://other/x", "deploy it with InputBuckets=books,logs,other "),
        ("s3://results/x", "deploy it with InputBuckets=books,logs,results "),
        ("s3://own/inputs/x", "use a place below s3://own/input/"),
        ("s3://own/", "use a place below s3://own/input/"),
        ("s3://own/in*/x", "use a place below s3://own/input/"),
        ("s3://own/jobs/x", "use a place below s3://own/input/"),
        ("books/", "workers on AWS can only use S3; copy it to s3://own/input/ or to a declared bucket"),
        ("s3://", "not an S3 URI"),
    ],
)
def test_an_input_that_workers_cannot_read_is_refused_by_name(given: str, message: str) -> None:
    with pytest.raises(RequestError, match=given.replace("*", r"\*")) as refused:
        check_places(stack(), ["s3://logs/", given], "s3://results/a")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("s3://logs/x", "deploy it with OutputBuckets=logs,results "),
        ("s3://own/input/x", "use a place below s3://own/output/"),
        ("s3://own/plan", "use a place below s3://own/output/"),
        ("out/", "workers on AWS can only use S3"),
        (None, "--stack needs --output"),
    ],
)
def test_an_output_that_workers_cannot_write_is_refused_by_name(output: str | None, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        check_places(stack(), ["s3://logs/"], output)
    assert message in str(refused.value)
    assert (output or "") in str(refused.value)


def test_a_job_uses_the_memory_and_timeout_of_the_stacks_workers() -> None:
    around = place_facts(stack(), JobRequest())
    assert around.memory_bytes == (1769 - 256) * limits.MIB // 2
    assert around.task_timeout_s == 900 - WORKER_END_S
    assert (around.workers, around.reducer_bytes) == (None, limits.REDUCER_BYTES)
    assert around.functions == WorkerFunctions(map="map:7", reduce="reduce:7")


def test_a_job_may_use_less() -> None:
    around = place_facts(stack(), JobRequest(memory="64MiB", task_timeout_s=30, workers=5))
    assert (around.memory_bytes, around.task_timeout_s, around.workers) == (64 * limits.MIB, 30, 5)


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"memory": "800MiB"}, {}, "--memory: workers of stack s3mr have 1769 MB, of which at most 756.5MiB"),
        ({}, {"memory_mb": 256}, "larger WorkerMemory"),
        ({"task_timeout_s": 886.0}, {}, "--task-timeout 886: at most 885"),
        ({"workers": 901}, {}, "--workers must be a whole number from 1 to 900"),
    ],
)
def test_more_than_a_worker_has_is_refused(options: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        place_facts(stack(**changes), JobRequest(**options))


@pytest.mark.parametrize(
    ("input_bytes", "map_tasks", "reducers"),
    [
        (0, 0, 1),
        (1, 1, 1),
        (256 * limits.MIB, 4, 1),
        (256 * limits.MIB + 1, 5, 2),
        (1024 * limits.GIB, 16_384, 610),
        (250 * limits.GIB, 4_000, 1_000),
        (10**18, limits.MAP_TASKS_MAX, 100),
    ],
)
def test_the_number_of_reducers_follows_the_input_size_within_the_limit_of_a_shuffle(
    input_bytes: int, map_tasks: int, reducers: int
) -> None:
    stacks = {"reducer_bytes": limits.REDUCER_BYTES, "at_least": 1, "at_most": limits.REDUCERS_CHOSEN_MAX}
    assert choose_reducers(input_bytes, map_tasks, **stacks) == reducers
    check_shape(map_tasks, reducers)


def test_an_unknown_option_is_refused_by_name() -> None:
    job = Job(map=lambda source, line: [(source, line)])
    with pytest.raises(TypeError, match="no such option: deadine, memry"):
        job.run("in", stack="s3mr", memry="1GiB", deadine=3)  # type: ignore[call-arg]
