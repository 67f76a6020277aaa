"""Everything a local job runs on: S3 and DynamoDB, worker processes, and a process that cleans up after both.

An `EmbeddedCloud` starts its own services, which end with it or with its process. The services of an `EndpointCloud`
persist, and so do its jobs: another process can continue a job that this one leaves.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from s3mr.adapters.aws.overload import OverloadRetries, say_on_stderr
from s3mr.adapters.files.temporary_output import TEMPORARY_OUTPUT, temporary_folder_of
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


class Cloud:
    """Services, workers, and a reaper that removes what they leave behind."""

    def __init__(self, reaper: Reaper, settings: Settings) -> None:
        self.reaper = reaper
        self.folder = reaper.temporary_folder("s3mr")
        self.settings = replace(settings, scratch_folder=str(self.folder))
        self.stack = Stack(
            self.settings, on_staging=self._staged, patience=OverloadRetries(say_on_stderr) if self.lasting else None
        )
        self._pool: WorkerPool | None = None
        self._outputs: set[Path] = set()  # temporary and staged outputs on this machine; removed at the end
        self._recorded = False  # whether the table has the job

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
        """Start worker processes. They report to ``record``, and print to ``stderr``, or to this process's own."""
        settings = replace(self.settings, chaos=chaos)
        self._pool = WorkerPool(
            count,
            chaos=Chaos.parse(chaos),
            environment={**os.environ, **settings.to_environment(), "TMPDIR": str(self.folder)},
            stderr=stderr,
            record=record,
            on_start=self.reaper.kill_at_end,
            on_end=self.reaper.spare,
            start=self.reaper.start_worker,
        )
        return self._pool

    def create_stack(self) -> None:
        """Create the bucket and the table, as a deployment does, unless they exist."""
        self.stack.objects.create_bucket()
        self.stack.store.create_table()

    def temporary_output(self) -> str:
        """Return a new temporary folder for an output that will be printed."""
        folder = self.reaper.temporary_folder(TEMPORARY_OUTPUT)
        self._outputs.add(folder)
        return str(folder / "output")

    def job_is_recorded(self) -> None:
        """Keep what the job has written when this process ends. Call this when the job is recorded in the table."""
        if self.lasting:
            self._recorded = True
            for path in self._outputs:
                self.reaper.keep(path)

    def job_is_over(self, spec: JobSpec) -> None:
        """Remove, at the end, the folder that only an unfinished job needs."""
        if folder := temporary_folder_of(spec):
            self.reaper.remove_at_end(folder)

    def job_is_gone(self) -> None:
        """Remove the job's outputs at the end: its services have lost it, so it cannot be resumed."""
        for path in self._outputs:
            self.reaper.remove_at_end(path)

    def check(self) -> None:
        """Raise InvariantError if the services are gone."""

    def close(self) -> None:
        """End all processes and remove everything."""
        if self.stack.patience:
            self.stack.patience.end()
        if self._pool:
            self._pool.close()
        self.reaper.close()

    def _staged(self, path: Path) -> None:
        self._outputs.add(path)
        if not self._recorded:
            self.reaper.remove_at_end(path)


class EmbeddedCloud(Cloud):
    """moto's S3 and DynamoDB in a process, which is also the reaper."""

    def __init__(self, reaper: Reaper | None = None) -> None:
        reaper = reaper or start_reaper(None)
        listening = reaper.listening
        if listening is None or not reaper.begun():
            reaper.close()
            raise InvariantError("the embedded cloud's server did not start; see its messages above")
        super().__init__(reaper, Settings(BUCKET, TABLE, f"http://{listening.address}", embedded_key=listening.key))

    def create_stack(self) -> None:
        """Create both at once. Neither exists yet, so no conflict can leave one without the other."""
        creating = (self.stack.objects.create_bucket, self.stack.store.create_table)
        for _ in self.stack.parallel.map(lambda create: create(), creating, width=len(creating)):
            pass

    def check(self) -> None:
        """Raise InvariantError if the services are gone."""
        if self.reaper.status is not None:
            raise InvariantError(f"the embedded cloud's server has died (status {self.reaper.status})")


class EndpointCloud(Cloud):
    """Services at an endpoint, which persist."""

    def __init__(self, settings: Settings, reaper: Reaper) -> None:
        super().__init__(reaper, settings)


def open_cloud(endpoint_url: str | None, reaper: Reaper | None = None) -> Cloud:
    """Return the cloud at the endpoint, or an embedded one if there is none. ``reaper`` is a reaper that runs already.

    Raises:
        RequestError: the endpoint is not a URL.
    """
    if endpoint_url is None:
        return EmbeddedCloud(reaper)
    settings = Settings.at_endpoint(endpoint_url, os.environ)
    return EndpointCloud(settings, reaper or start_reaper(endpoint_url))
