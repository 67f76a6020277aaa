"""Progress bars on a terminal: for each phase, the tasks done, running and retried, the rate and the time left."""

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from s3mr.cli.streams import harmless
from s3mr.model.job import JobState, Phase

LAST_WORDS_S = 1.0


class Progress:
    """Bars on standard error while a job runs; nothing if standard error is not a terminal."""

    def __init__(self, *, shown: bool) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
        )
        self.stderr: int | None = None  # user code prints to this pipe, so its lines appear above the bars
        self._printing: threading.Thread | None = None
        self._tasks: dict[Phase, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        if not self._bars.disable:
            printed, self.stderr = os.pipe()
            self._printing = threading.Thread(target=self._show_printed, args=(printed,), daemon=True)
            self._printing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.stderr is not None and self._printing is not None:
            os.close(self.stderr)
            self._printing.join(LAST_WORDS_S)  # a child process of user code may hold the pipe open forever
        self._bars.stop()

    def show(self, job: JobState, running: int) -> None:
        """Show the progress of ``job``."""
        if self._bars.disable:
            return
        for phase in (Phase.MAP, Phase.REDUCE):
            total = job.spec.tasks(phase)
            if not total:
                continue
            if phase not in self._tasks:
                self._tasks[phase] = self._bars.add_task(phase, total=total, detail="")
            done = job.done_in(phase)
            detail = f"{running} running, {job.retried} retried, {self._rate(job)}" if job.phase is phase else ""
            self._bars.update(self._tasks[phase], completed=done, detail=detail)

    def say(self, text: str) -> None:
        """Print a line on standard error, above the bars."""
        self._bars.console.print(Text(harmless(text)), soft_wrap=True)

    def pause(self, action: Callable[[], None]) -> None:
        """Remove the bars for good, then do ``action``, which prints."""
        self._bars.stop()
        action()

    def _show_printed(self, printed: int) -> None:
        with open(printed, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._bars.console.print(Text(line.rstrip("\n")), soft_wrap=True)

    def _rate(self, job: JobState) -> str:
        elapsed_s = max(job.progressed_at - job.phase_started_at, 1e-3)
        return f"{job.done / elapsed_s:.1f} tasks/s"


class Reading:
    """A bar on standard error while an output is read; nothing if standard error is not a terminal."""

    def __init__(self, *, shown: bool) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("reading "),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
        )
        self._task = self._bars.add_task("reading", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, total_bytes: int) -> None:
        """Set how many bytes there are to read."""
        self._bars.update(self._task, total=total_bytes)

    def advance(self, read_bytes: int) -> None:
        """Add ``read_bytes`` to the bytes read. Any thread may call this."""
        self._bars.advance(self._task, read_bytes)
