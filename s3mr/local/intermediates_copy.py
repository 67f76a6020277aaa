"""Copying a job's intermediates out of the bucket, for people who look for a fault."""

from pathlib import Path

from s3mr.adapters.files.os_errors import translated_os
from s3mr.errors import RequestError, S3mrError
from s3mr.model import object_names
from s3mr.ports import ObjectStore


def copy_objects(objects: ObjectStore, job_id: str, folder: Path, *, became: str = "ended") -> None:
    """Copy a job's plan and intermediates into ``folder``, under their names.

    Raises:
        S3mrError: they cannot be written there; what the job ``became`` is said with it.
    """
    try:
        for prefix in (object_names.plan_prefix(job_id), object_names.job_prefix(job_id)):
            for key in objects.list(prefix):
                target = _inside(folder, key)
                with translated_os(f"write {target}"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        file.writelines(objects.stream(key))
    except RequestError as error:
        raise S3mrError(f"the job has {became}, but its intermediates could not all be kept: {error}") from error


def _inside(folder: Path, key: str) -> Path:
    target = folder / key
    if not target.resolve().is_relative_to(folder.resolve()):
        raise RequestError(f"an intermediate object is named {key!r}, which leaves {folder}")
    return target
