"""Format tracebacks for the author of a job: only their own frames, with their own paths."""

import traceback
from pathlib import Path
from typing import Final

from s3mr import limits

_S3MR: Final = Path(__file__).parents[1]


def users_traceback(error: BaseException, *, folder: str = "") -> tuple[str, str]:
    """Return ``error`` in one line, and its traceback without the frames of s3mr and of the import system.

    Paths below ``folder``, the unpacked bundle, are shown relative to it. If the traceback is too long, its start is
    cut off.
    """
    report = traceback.TracebackException.from_exception(error)
    what = "".join(report.format_exception_only()).strip()
    _keep_user_frames(report, folder)
    return what[: limits.FAILURE_TEXT_MAX], "".join(report.format()).rstrip()[-limits.FAILURE_TEXT_MAX :]


def _keep_user_frames(report: traceback.TracebackException, folder: str) -> None:
    frames = []
    for frame in report.stack:
        path = Path(frame.filename)
        if folder and path.is_relative_to(folder):
            frame.filename = str(path.relative_to(folder))
        elif (
            path.is_relative_to(_S3MR)
            or frame.filename.startswith("<frozen importlib")
            or path.parent.name == "importlib"
        ):
            continue
        frames.append(frame)
    report.stack = traceback.StackSummary.from_list(frames)
    for cause in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if cause is not None:
            _keep_user_frames(cause, folder)
