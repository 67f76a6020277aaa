"""The places where a job outlives the command that submitted it: a deployed stack, or services at an endpoint."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from s3mr.adapters.aws import clients
from s3mr.adapters.aws.cloudformation import describe_stack
from s3mr.adapters.aws.function_logs import FunctionLogs
from s3mr.adapters.aws.step_functions import StateMachine
from s3mr.endpoint import end_job, open_endpoint
from s3mr.errors import RequestError, TransientError
from s3mr.model.job import JobState
from s3mr.model.stack import StackDescription
from s3mr.ports import Clock, JobStore, ObjectStore
from s3mr.settings import Settings
from s3mr.wiring import Stack


class Ports(Protocol):
    """The ports that the commands use to look after jobs."""

    @property
    def store(self) -> JobStore: ...
    @property
    def objects(self) -> ObjectStore: ...
    @property
    def clock(self) -> Clock: ...


class JobHome(Protocol):
    """The operations that commands need from a stack or an endpoint."""

    @property
    def option(self) -> str:
        """The option that names this place: ``--stack NAME``."""

    @property
    def stack(self) -> Ports:
        """The ports."""

    def has_coordinator(self, job_id: str) -> bool | None:
        """Whether a coordinator runs for a job; None if that cannot be seen from here."""

    def carry_on(self, job_id: str) -> None:
        """Make sure, if possible from here, that a job has a coordinator."""

    def bring_to_its_end(self, job_id: str) -> None:
        """Make sure that a request to cancel a job takes effect, and that the job releases what it holds."""


@dataclass(frozen=True)
class Deployment:
    """A deployed stack, as it is now. Its jobs need no command to run."""

    description: StackDescription
    stack: Stack

    @property
    def option(self) -> str:
        return f"--stack {self.description.name}"

    @cached_property
    def machine(self) -> StateMachine:
        return StateMachine(clients.step_functions_client(self.stack.meter), self.description.state_machine)

    @cached_property
    def logs(self) -> FunctionLogs:
        return FunctionLogs(clients.logs_client(self.stack.meter))

    def log_group(self, function: str) -> str:
        """Return the log group of one of the functions: tick, record, map or reduce."""
        return f"/aws/lambda/{self.description.name}-{function}"

    def has_coordinator(self, job_id: str) -> bool:
        last = self.machine.latest(job_id)
        return last is not None and last.running

    def carry_on(self, job_id: str) -> None:
        self.machine.ensure(job_id, tick=self.description.tick)

    def bring_to_its_end(self, job_id: str) -> None:
        self.carry_on(job_id)


@dataclass(frozen=True)
class Services:
    """S3 and DynamoDB at an endpoint. The workers of a job there belong to a command, on this machine or another."""

    endpoint_url: str
    stack: Stack

    @property
    def option(self) -> str:
        return f"--endpoint-url {self.endpoint_url}"

    def has_coordinator(self, job_id: str) -> None:
        """Return None: the coordinator is part of a command, maybe on another machine, so this cannot be known."""

    def carry_on(self, job_id: str) -> None:
        """Do nothing: the job continues where its workers run. If there are none, ``s3mr resume`` continues it."""

    def bring_to_its_end(self, job_id: str) -> None:
        end_job(self.stack, job_id)


def open_deployment(name: str, *, to_submit: bool = False) -> Deployment:
    """Look a stack up. With ``to_submit``, refuse it while a deploy is in progress.

    Raises:
        RequestError: the stack does not exist, or this version of s3mr does not work with it.
    """
    meter = clients.Meter()
    description = describe_stack(
        clients.cloudformation_client(meter), clients.lambda_client(None, meter), name, to_submit=to_submit
    )
    settings = Settings(description.bucket, description.table)
    return Deployment(description, Stack(settings, account=description.account))


def open_to_submit(name: str) -> Deployment:
    """Look up a stack to submit a job to.

    Raises:
        RequestError: likewise, or a deploy is in progress, or the stack cannot be reached; nothing was started.
    """
    try:
        return open_deployment(name, to_submit=True)
    except TransientError as error:
        raise RequestError(f"nothing was started: {error}") from error


def open_services(endpoint_url: str) -> Services:
    """Open the jobs at an endpoint.

    Raises:
        RequestError: the endpoint is not a URL. If there is no table, the first request says so.
    """
    return Services(endpoint_url, open_endpoint(endpoint_url))


def job_in(home: JobHome, job_id: str) -> JobState:
    """Return a job.

    Raises:
        RequestError: the job does not exist.
    """
    job = home.stack.store.read_job(job_id)
    if job is None:
        raise no_job(home, job_id)
    return job


def no_job(home: JobHome, job_id: str) -> RequestError:
    """Return the error that a job does not exist."""
    return RequestError(f"there is no job {job_id} here: list the jobs with s3mr ls {home.option}")
