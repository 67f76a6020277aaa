"""Serverless MapReduce: plain Python map and reduce functions over objects in S3."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3mr import reducers
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
    from s3mr.usercode.parameters import params

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
    "reducers",
]

_MODULES = {"Job": "s3mr.api", "params": "s3mr.usercode.parameters"}  # all others are errors


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562), so that s3mr's own processes start faster."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "reducers":
        return import_module("s3mr.reducers")
    value = globals()[name] = getattr(import_module(_MODULES.get(name, "s3mr.errors")), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
