"""What ``import s3mr`` provides, and what it costs."""

import subprocess
import sys

import pytest

import s3mr
from s3mr.errors import JobFailedError


def test_all_public_names_exist() -> None:
    assert set(s3mr.__all__) <= set(dir(s3mr))
    assert all(getattr(s3mr, name) is not None for name in s3mr.__all__)
    assert s3mr.JobFailedError is JobFailedError


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 's3mr' has no attribute 'Jobs'"):
        s3mr.Jobs  # noqa: B018 - the look is what raises


def test_modules_are_imported_only_when_they_are_used() -> None:
    code = "import sys, s3mr; print(sorted(name for name in sys.modules if name.startswith('s3mr.'))); s3mr.reducers"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
