"""Options: declared once, validated by their declarations, filled in by the job and the place."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from s3mr import Job, limits, reducers
from s3mr.coordinator.submission import PlaceFacts, Submission, submission_of
from s3mr.errors import RequestError
from s3mr.model.job import JobSpec
from s3mr.options import JobRequest, RunOptions, declared, default_of, flag_of
from s3mr.usercode.location import Code
from tests.submissions import some_spec


def pairs(_first: Any, _second: Any) -> Iterator[tuple[str, int]]:
    yield "a", 1


def submitted(job: Job, place: PlaceFacts | None = None, **options: Any) -> Submission:
    code = Code(Path(), "job.py", "job")
    place = place or PlaceFacts(memory_bytes=1, task_timeout_s=1.0)
    return submission_of(job, code, RunOptions(**options), place, bundle=b"", inputs=(), output="")


@pytest.mark.parametrize(
    ("job", "split_bytes_max"),
    [
        (Job(map=pairs, reduce=pairs, combine=pairs), 2 * limits.SPLIT_SIZE_BYTES),
        (Job(map=pairs, reduce=reducers.total), 2 * limits.SPLIT_SIZE_BYTES),
        (Job(map=pairs, reduce=pairs), limits.SPLIT_SIZE_BYTES),
        (Job(map=pairs), limits.SPLIT_SIZE_BYTES),
    ],
)
def test_map_tasks_may_be_larger_if_pairs_are_combined(job: Job, split_bytes_max: int) -> None:
    place = PlaceFacts(memory_bytes=1, task_timeout_s=1.0, combined_split_bytes=2 * limits.SPLIT_SIZE_BYTES)
    assert submitted(job, place).split_bytes_max == split_bytes_max


def test_an_option_overrides_the_jobs_setting_and_that_overrides_the_default() -> None:
    job = Job(map=pairs, reduce=pairs, reducers=5, input="whole", params={"a": "1", "b": "2"})
    request = submitted(job).request
    assert (request.reducers, request.input_format, request.params) == (5, "whole", {"a": "1", "b": "2"})
    request = submitted(job, reducers=7, input_format="text", params={"b": "3"}).request
    assert (request.reducers, request.input_format, request.params) == (7, "text", {"a": "1", "b": "3"})


def test_reducers_are_refused_for_a_job_that_does_not_reduce() -> None:
    assert not submitted(Job(map=pairs)).reduces
    with pytest.raises(RequestError, match="--reducers: this job has no reduce"):
        submitted(Job(map=pairs), reducers=2)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"attempts": 0}, "--attempts must be a whole number from 1 to 100, not 0"),
        ({"attempts": 101}, "--attempts must be a whole number from 1 to 100, not 101"),
        ({"attempts": True}, "--attempts must be a whole number"),
        ({"attempts": "3"}, "--attempts must be a whole number from 1 to 100, not '3'"),
        ({"reducers": 2.0}, "--reducers must be a whole number from 1 to 10,000, not 2.0"),
        ({"workers": 0}, "--workers must be a whole number, at least 1, not 0"),
        ({"memory": "1MiB"}, "--memory must be a whole number of bytes, at least 16MiB, not '1MiB'"),
        ({"memory": "many"}, "--memory is not a size: 'many'"),
        ({"split_size": 0}, "--split-size must be a whole number of bytes, at least 1, not 0"),
        ({"task_timeout_s": 0}, "--task-timeout must be a positive number of seconds, not 0"),
        ({"task_timeout_s": float("inf")}, "--task-timeout must be a positive number of seconds, not inf"),
        ({"deadline": "7d"}, "--deadline must be a positive number of seconds, at most 518,400, not '7d'"),
        ({"deadline": 0.0}, "--deadline must be a positive number of seconds, at most 518,400, not 0.0"),
        ({"deadline": -1.0}, "--deadline must be a positive number of seconds"),
        ({"deadline": float("nan")}, "--deadline must be a positive number of seconds"),
        ({"layout": "dense"}, "--layout must be one of auto, split, packed, not 'dense'"),
        ({"params": {"a": 1}}, "--param must map strings to strings; 1 is not a string"),
        ({"params": "a=1"}, "--param must map strings to strings, not be 'a=1'"),
        ({"include": "data.txt"}, "--include must be a list of paths, not 'data.txt'"),
        ({"requester_pays": 1}, "--requester-pays must be true or false, not 1"),
        ({"output": 3}, "--output must be a path, not 3"),
    ],
)
def test_a_value_outside_its_declared_range_is_refused_with_the_name_of_its_option(
    option: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as refused:
        RunOptions(**option)
    assert str(refused.value).startswith(message)


def test_the_ends_of_a_range_are_accepted() -> None:
    RunOptions(attempts=100, reducers=10_000, workers=1, memory=limits.MEMORY_BYTES_MIN, split_size=1, deadline="6d")


def test_a_spec_embeds_the_request_and_refuses_unknown_fields() -> None:
    spec = some_spec(attempts=7, params={"a": "b"})
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
    text = spec.model_dump_json()
    for wrong in (text.replace('"attempts":7', '"attempts":0'), text.replace('"attempts":7', '"atempts":7')):
        with pytest.raises(ValueError, match=r"atempts|--attempts"):
            JobSpec.model_validate_json(wrong)


def test_every_field_is_declared_with_its_default() -> None:
    assert {one.name for one in fields(RunOptions)} - declared(RunOptions).keys() == {"stack", "endpoint_url"}
    for name, (one, about) in declared(RunOptions).items():
        assert about.help.endswith("."), name
        assert about.default or default_of(one) is not None or name in ("requirements", "keep_intermediate"), name


def test_flags_are_named_after_fields() -> None:
    flags = {flag_of(name, about) for name, (_, about) in declared(JobRequest).items()}
    assert {"--split-size", "--task-timeout", "--param", "--requester-pays"} < flags


def test_an_option_that_does_not_apply_is_refused() -> None:
    RunOptions(keep_intermediate="out").check_applies("run")
    with pytest.raises(RequestError, match=r"keep_intermediate= does not apply to submit\(\)"):
        RunOptions(keep_intermediate="out").check_applies("submit")


def test_options_can_be_replaced() -> None:
    assert replace(RunOptions(reducers=3), stack="s").request == JobRequest(reducers=3)
