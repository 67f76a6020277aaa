"""Where a job runs from here: services, worker processes that use them, and a caretaker for both.

`EmbeddedCloud` brings its services, and they live exactly as long as it does, or as the process that holds it. Those of
an `EndpointCloud` live on, and with them its jobs: another process can take up what this one leaves.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from s3mr.adapters.aws.overload import OverloadRetries, say_on_stderr
from s3mr.errors import InvariantError
from s3mr.local.reaper import Reaper, start_reaper
from s3mr.local.worker_pool import WorkerPool
from s3mr.model.job import JobSpec
from s3mr.model.report import Report
from s3mr.processes.chaos import Chaos
from s3mr.settings import Settings
from s3mr.wiring import Stack

BUCKET = "s3mr-embedded"
TABLE = "s3mr"
TEMPORARY_OUTPUT = "s3mr-output"


class Cloud:
    """Services, workers, and what is needed to leave nothing behind that nobody will use."""

    def __init__(self, care: Reaper, settings: Settings) -> None:
        self.care = care
        self.folder = care.temporary_folder("s3mr")
        self.settings = replace(settings, scratch_folder=str(self.folder))
        self.stack = Stack(
            self.settings, on_staging=self._staged, patience=OverloadRetries(say_on_stderr) if self.lasting else None
        )
        self._pool: WorkerPool | None = None
        self._outputs: set[Path] = set()  # on their way here, and removed at the end
        self._stands = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def lasting(self) -> bool:
        """Whether a job outlives this process."""
        return self.settings.embedded_key is None

    def start_workers(
        self,
        count: int,
        record: Callable[[Report], object],
        *,
        chaos: str = "",
        stderr: int | None = None,
    ) -> WorkerPool:
        """Start worker processes; they report through ``record``, and print to ``stderr``, or to ours."""
        settings = replace(self.settings, chaos=chaos)
        self._pool = WorkerPool(
            count,
            chaos=Chaos.parse(chaos),
            environment={**os.environ, **settings.to_environment(), "TMPDIR": str(self.folder)},
            stderr=stderr,
            record=record,
            born=self.care.kill_at_end,
            buried=self.care.spare,
            start=self.care.start_worker,
        )
        return self._pool

    def create_stack(self) -> None:
        """Create the bucket and the table where they are not there yet, as a deployment does."""
        self.stack.objects.create_bucket()
        self.stack.store.create_table()

    def temporary_output(self) -> str:
        """Name a folder for an output that is to be printed."""
        folder = self.care.temporary_folder(TEMPORARY_OUTPUT)
        self._outputs.add(folder)
        return str(folder / "output")

    def job_stands(self) -> None:
        """Let what the job has written so far outlive this process, as the job does that stands in the table now."""
        if self.lasting:
            self._stands = True
            for path in self._outputs:
                self.care.keep(path)

    def job_is_over(self, spec: JobSpec) -> None:
        """Have removed what only a job that goes on needs."""
        if folder := temporary_folder_of(spec):
            self.care.remove_at_end(folder)

    def job_is_gone(self) -> None:
        """Have removed what has outlived the job: its services have lost it, so nobody can take it up."""
        for path in self._outputs:
            self.care.remove_at_end(path)

    def check(self) -> None:
        """Raise InvariantError if the services are gone."""

    def close(self) -> None:
        """End all processes and remove everything."""
        if self.stack.patience:
            self.stack.patience.end()
        if self._pool:
            self._pool.close()
        self.care.close()

    def _staged(self, path: Path) -> None:
        self._outputs.add(path)
        if not self._stands:
            self.care.remove_at_end(path)


class EmbeddedCloud(Cloud):
    """moto's services in a process; it is the caretaker, too."""

    def __init__(self, care: Reaper | None = None) -> None:
        care = care or start_reaper(None)
        listening = care.listening
        if listening is None or not care.begun():
            care.close()
            raise InvariantError("the embedded cloud's server did not start; what it said stands above")
        super().__init__(care, Settings(BUCKET, TABLE, f"http://{listening.address}", embedded_key=listening.key))

    def create_stack(self) -> None:
        """Create both at once: nothing of somebody else's can stand in the way of one, and leave the other behind."""
        creating = (self.stack.objects.create_bucket, self.stack.store.create_table)
        for _ in self.stack.parallel.map(lambda create: create(), creating, width=len(creating)):
            pass

    def check(self) -> None:
        """Raise InvariantError if the services are gone."""
        if self.care.status is not None:
            raise InvariantError(f"the embedded cloud's server has died (status {self.care.status})")


class EndpointCloud(Cloud):
    """Services that live on."""

    def __init__(self, settings: Settings, care: Reaper) -> None:
        super().__init__(care, settings)


def open_cloud(endpoint_url: str | None, care: Reaper | None = None) -> Cloud:
    """Return the cloud at the endpoint; without one, an embedded one. ``care``: of `start_reaper`, if it was begun.

    Raises:
        RequestError: the endpoint is no URL.
    """
    if endpoint_url is None:
        return EmbeddedCloud(care)
    settings = Settings.at_endpoint(endpoint_url, os.environ)
    return EndpointCloud(settings, care or start_reaper(endpoint_url))


def temporary_folder_of(spec: JobSpec) -> Path | None:
    """Return the folder that was made for a job's output alone, if there is one: it may be removed.

    The job's record may come from another machine, or from somebody else: so the folder must be one that a command of
    this user has made for that.
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
