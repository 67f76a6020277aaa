"""Submissions and specs of jobs, for tests that set only the fields they need."""

from dataclasses import fields
from typing import Any

from s3mr import limits
from s3mr.coordinator.submission import PlaceFacts, Submission
from s3mr.model.job import BundleRef, JobSpec
from s3mr.options import JobRequest

REQUEST = {one.name for one in fields(JobRequest)} - {"memory", "workers", "task_timeout_s"}  # set by the job's place
PLACE = {one.name for one in fields(PlaceFacts)}


def submission(**given: Any) -> Submission:
    """Return a submission. ``given`` are fields of it, of its request and of its place."""
    request: dict[str, Any] = {"split_size": 10, "attempts": 4, "input_format": "text"}
    place: dict[str, Any] = {"memory_bytes": 2**24, "task_timeout_s": 60.0}
    rest: dict[str, Any] = {"bundle": b"", "module": "job.py", "name": "job", "output": "mem://out"}
    for name, value in given.items():
        (request if name in REQUEST else place if name in PLACE else rest)[name] = value
    return Submission(request=JobRequest(**request), place=PlaceFacts(**place), **rest)


def some_spec(**given: Any) -> JobSpec:
    """Return the spec of a job. ``given`` are fields of it and of its request."""
    request = {name: given.pop(name) for name in REQUEST - JobSpec.model_fields.keys() if name in given}
    spec = {
        "job_id": "job",
        "bundle": BundleRef(sha256="0" * 64, module="job.py", name="job"),
        "map_tasks": 1,
        "reducers": 1,
        "layout": "packed",
        "input_format": "text",
        "input_objects": 1,
        "input_bytes": 1,
        "plan_index_offset_bytes": 0,
        "memory_bytes": limits.MEMORY_BYTES_MIN,
        "task_timeout_s": 100.0,
        "output": "/out",
    }
    return JobSpec.model_validate({**spec, "request": JobRequest(**{"attempts": 4, **request}), **given})
