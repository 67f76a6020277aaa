"""Copy a job's intermediates out of the bucket, for debugging."""

from pathlib import Path

from s3mr.adapters.files.os_errors import translated_os
from s3mr.errors import RequestError, S3mrError
from s3mr.model import object_names
from s3mr.ports import ObjectStore


def copy_objects(objects: ObjectStore, job_id: str, folder: Path, *, became: str = "ended") -> None:
    """Copy a job's plan and intermediates into ``folder``, under their own names.

    Raises:
        S3mrError: the copy failed; the text also says what the job ``became``.
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
        raise S3mrError(
            f"the job ended ({became}), but copying its intermediates to {folder} failed: {error}"
        ) from error


def _inside(folder: Path, key: str) -> Path:
    target = folder / key
    if not target.resolve().is_relative_to(folder.resolve()):
        raise RequestError(f"the intermediate object {key!r} would be written outside {folder}")
    return target
