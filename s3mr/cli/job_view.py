"""Show a job: its progress while it runs, then its result. The output looks the same wherever the job runs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, BinaryIO

from s3mr.cli.streams import print_line, print_parts, say

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from s3mr.cli.progress import Progress
    from s3mr.model.job import JobState
    from s3mr.model.result import JobResult
    from s3mr.remote.job_home import JobHome


class LocalView:
    """Shows a job that runs on this command's own workers (`s3mr.local.driver.JobView`)."""

    def __init__(self, progress: "Progress | NoProgress", data: BinaryIO, *, announced_at: str | None) -> None:
        """Print an output without a folder to ``data``, and the job's id once, with ``announced_at``."""
        self._progress = progress
        self._data = data
        self._announced_at = announced_at

    @property
    def stderr(self) -> int | None:
        """The file descriptor that user code prints to; None means the command's own standard error."""
        return self._progress.stderr

    def show(self, job: "JobState", running: int) -> None:
        """Show the job's progress."""
        if self._announced_at is not None:
            self._progress.say(announcement(job.spec.job_id, self._announced_at))
            self._announced_at = None
        self._progress.show(job, running)

    def take_output(self, result: "JobResult") -> bool:
        """Print the output; the caller can delete it afterwards."""
        self._progress.pause(lambda: print_parts(result, self._data))
        return True


@contextmanager
def job_view(data: BinaryIO, *, endpoint_url: str | None, quiet: bool) -> Iterator[LocalView]:
    """Show a job that runs on this machine."""
    announced_at = None if endpoint_url is None or quiet else f"--endpoint-url {endpoint_url}"
    with _progress(shown=not quiet) as progress:
        yield LocalView(progress, data, announced_at=announced_at)


def wait_there(
    home: "JobHome", job: "JobState", *, keep_intermediate: "Path | None" = None, quiet: bool
) -> "JobResult":
    """Wait for a job that does not run in this command."""
    from s3mr.remote.job_watch import wait

    with _progress(shown=not quiet) as progress:
        return wait(home, job, watch=progress.show, keep_intermediate=keep_intermediate)


def announcement(job_id: str, option: str) -> str:
    """Return the line that tells you how to find the job again if this command dies."""
    return f"job      {job_id} ({option})"


def tell(
    result: "JobResult", data: BinaryIO, *, output: "str | PathLike[str] | None", as_json: bool, quiet: bool
) -> None:
    """Print a job's result: as JSON on standard output, or as a summary on standard error."""
    if as_json:
        print_line(result.model_dump_json(), data)
    if not quiet:
        from s3mr.cli.summary import summary

        say(summary(result, shown_output=None if output is None else str(output)), err=True)


def _progress(*, shown: bool) -> "AbstractContextManager[Progress | NoProgress]":
    """Return progress bars, but only on a terminal: the library that draws them is slow to import."""
    if not (shown and sys.stderr.isatty()):
        return nullcontext(NoProgress())
    from s3mr.cli.progress import Progress

    return Progress(shown=shown)


class NoProgress:
    """Shows no progress; has the methods of `Progress`."""

    stderr = None

    def show(self, job: "JobState", running: int) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Print a line on standard error."""
        say(text, err=True)

    def pause(self, action: Callable[[], None]) -> None:
        """Do ``action``."""
        action()
