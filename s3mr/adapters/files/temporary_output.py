"""The temporary folder of an output that a command prints."""

import os
import stat
from pathlib import Path
from typing import Final

from s3mr.model.job import JobSpec

TEMPORARY_OUTPUT: Final = "s3mr-output"  # how the folder's name starts


def temporary_folder_of(spec: JobSpec) -> Path | None:
    """Return the temporary folder made for a job's output, if there is one. It may be removed.

    The job's record may come from another machine or user. So this checks that a command of this user made the folder.
    """
    folder = Path(spec.output).parent
    if not (spec.printed and folder.name.startswith(f"{TEMPORARY_OUTPUT}-")):
        return None
    try:
        found = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return folder if private and found.st_uid == os.geteuid() else None
