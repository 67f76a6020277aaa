"""Waiting for a job: live progress, and at its end what it came to. Wherever the job runs, it looks the same."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, BinaryIO, Protocol

from s3mr.cli.streams import print_line, print_parts, say

if TYPE_CHECKING:
    from pathlib import Path

    from s3mr.cli.progress import Progress
    from s3mr.model.job import JobState
    from s3mr.model.result import JobResult
    from s3mr.remote.job_home import JobHome


class Here(Protocol):
    """Something that brings a job to its end with workers of this command."""

    def __call__(
        self,
        *,
        stderr: int | None,
        watch: "Callable[[JobState, int], object]",
        deliver: "Callable[[JobResult], object]",
    ) -> "JobResult":
        """Give user code ``stderr`` to print to, show the job to ``watch``, and output for a person to ``deliver``."""


def wait_here(run: Here, data: BinaryIO, *, endpoint_url: str | None, quiet: bool) -> "JobResult":
    """Run a job with workers of this command; its output goes to ``data`` where it has no other place."""
    with _progress(shown=not quiet) as progress:
        announced = endpoint_url is None or quiet

        def watch(job: "JobState", running: int) -> None:
            nonlocal announced
            if not announced:
                announced = True
                progress.say(announcement(job.spec.job_id, f"--endpoint-url {endpoint_url}"))
            progress.show(job, running)

        return run(
            stderr=progress.stderr,
            watch=watch,
            deliver=lambda result: progress.pause(lambda: print_parts(result, data)),
        )


def wait_there(
    home: "JobHome", job: "JobState", *, keep_intermediate: "Path | None" = None, quiet: bool
) -> "JobResult":
    """Wait for a job that goes on by itself."""
    from s3mr.remote.job_watch import wait

    with _progress(shown=not quiet) as progress:
        return wait(home, job, watch=progress.show, keep_intermediate=keep_intermediate)


def announcement(job_id: str, option: str) -> str:
    """Return how the job is found again should this command die."""
    return f"job      {job_id} ({option})"


def tell(result: "JobResult", data: BinaryIO, *, output: str | None, as_json: bool, quiet: bool) -> None:
    """Say what a job came to: as JSON on standard output, or in some lines on standard error."""
    if as_json:
        print_line(result.model_dump_json(), data)
    if not quiet:
        from s3mr.cli.summary import summary

        say(summary(result, shown_output=output), err=True)


def _progress(*, shown: bool) -> "AbstractContextManager[Progress | NoProgress]":
    """Return the bars, where there is a terminal to show them: what draws them takes long to import."""
    if not (shown and sys.stderr.isatty()):
        return nullcontext(NoProgress())
    from s3mr.cli.progress import Progress

    return Progress(shown=shown)


class NoProgress:
    """Shows nothing of a job while it runs; has what `Progress` has."""

    stderr = None

    def show(self, job: "JobState", running: int) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Print a line on standard error."""
        say(text, err=True)

    def pause(self, action: Callable[[], None]) -> None:
        """Do ``action``."""
        action()
