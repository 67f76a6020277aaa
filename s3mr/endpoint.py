"""Look after jobs at an endpoint, for commands that do not run tasks."""

import os
import shutil

from s3mr.adapters.aws.overload import OverloadRetries, say_on_stderr
from s3mr.adapters.files.temporary_output import temporary_folder_of
from s3mr.errors import TransientError
from s3mr.model.job import JobState
from s3mr.model.report import TaskRequest
from s3mr.settings import Settings
from s3mr.wiring import Stack


def open_endpoint(endpoint_url: str) -> Stack:
    """Return the bucket and the table at an endpoint, which a run has created. This creates nothing.

    Raises:
        RequestError: the endpoint is not a URL.
    """
    return Stack(Settings.at_endpoint(endpoint_url, os.environ), patience=OverloadRetries(say_on_stderr))


def end_job(stack: Stack, job_id: str) -> JobState:
    """Cancel a job and drive it to its end, so it holds nothing. A job that is already committing succeeds.

    Raises:
        RequestError: the job does not exist.
        TransientError: a service is busy, or another process keeps hold of the job.
    """
    job = stack.store.read_job(job_id)
    if job is not None and not job.phase.terminal:
        stack.store.request_cancel(job_id, at=stack.clock.now())
    job = stack.ticker(_NoWorkers(), capacity=1).tick_to_end(job_id)
    if folder := temporary_folder_of(job.spec):
        shutil.rmtree(folder, ignore_errors=True)
    return job


class _NoWorkers:
    """An `Invoker` without workers."""

    def invoke(self, request: TaskRequest) -> None:
        raise TransientError(f"{request.phase} task {request.task} was not started: this command has no workers")
