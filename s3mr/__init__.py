"""Serverless MapReduce: plain Python map and reduce functions over objects in S3."""

from s3mr.api import Job
from s3mr.errors import (
    DetachedError,
    InvariantError,
    JobFailedError,
    RequestError,
    S3mrError,
    TransientError,
    UserCodeError,
)
from s3mr.parameters import params

__all__ = [
    "DetachedError",
    "InvariantError",
    "Job",
    "JobFailedError",
    "RequestError",
    "S3mrError",
    "TransientError",
    "UserCodeError",
    "params",
]
