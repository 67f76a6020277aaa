"""Tracebacks as the author of a job wants to see them: their own frames, their own paths."""

import traceback
from pathlib import Path
from typing import Final

from s3mr import limits

_OURS: Final = Path(__file__).parents[1]


def users_traceback(error: BaseException, *, folder: str = "") -> tuple[str, str]:
    """Return what ``error`` is in a line, and its traceback without the frames of s3mr and of the import system.

    Paths below ``folder``, where a bundle lies unpacked, are shown relative to it. A text that is too long loses its
    beginning.
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
            path.is_relative_to(_OURS)
            or frame.filename.startswith("<frozen importlib")
            or path.parent.name == "importlib"
        ):
            continue
        frames.append(frame)
    report.stack = traceback.StackSummary.from_list(frames)
    for behind in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if behind is not None:
            _keep_user_frames(behind, folder)
