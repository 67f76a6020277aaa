"""Choose the adapters for all ports, from settings, for the coordinator and for workers. No other module does this.

There are many workers, so they must not import the coordinator. The methods that create its parts import it.
"""

import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from s3mr import limits
from s3mr.adapters.all_inputs import AnyInputs
from s3mr.adapters.aws.clients import Endpoint, Meter, dynamodb_client, s3_client
from s3mr.adapters.aws.dynamodb import DynamoDBJobStore
from s3mr.adapters.aws.overload import OverloadRetries
from s3mr.adapters.aws.s3_inputs import S3Inputs
from s3mr.adapters.aws.s3_output import S3Output
from s3mr.adapters.aws.s3_store import S3ObjectStore
from s3mr.adapters.aws.s3_uri import is_s3
from s3mr.adapters.files.file_inputs import LocalInputs
from s3mr.adapters.files.folder_output import FolderOutput
from s3mr.adapters.published_output import FolderPublished, S3Published
from s3mr.adapters.system import SystemClock, SystemEntropy, Threads
from s3mr.model.job import JobSpec
from s3mr.ports import Inputs, Invoker, Output, Parallel, Published
from s3mr.settings import Settings
from s3mr.usercode.interpreter_state import umask
from s3mr.worker.job_code import JobCode
from s3mr.worker.task_handler import TaskHandler

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from s3mr.coordinator.recorder import Recorder
    from s3mr.coordinator.resumer import Resumer
    from s3mr.coordinator.submission import Submitter
    from s3mr.coordinator.ticker import Ticker

THREADS_MAX = 16


class Stack:
    """The adapters of one stack. Each is created when it is first used."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_staging: Callable[[Path], object] | None = None,
        account: str | None = None,
        patience: OverloadRetries | None = None,
    ) -> None:
        """Use the services that ``settings`` name.

        Args:
            settings: where the stack's bucket and table are.
            on_staging: called with the staging folder of a folder output, before the folder is created.
            account: the AWS account that must own the output bucket.
            patience: how long to retry when services are busy; None: botocore's default.
        """
        self.meter = Meter()
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self.parallel = Threads(threads_max=THREADS_MAX)
        self._mask = umask()
        self._settings = settings
        self._on_staging = on_staging
        self._account = account
        self.patience = patience

    def scratch(self) -> BinaryIO:
        """Return a new, empty temporary file without a name."""
        return tempfile.TemporaryFile(dir=self._settings.scratch_folder)

    @cached_property
    def objects(self) -> S3ObjectStore:
        client = s3_client(self._own, self.meter, connections_max=THREADS_MAX, patience=self.patience)
        return S3ObjectStore(client, self._settings.bucket)

    @cached_property
    def store(self) -> DynamoDBJobStore:
        endpoint = self._endpoint(self._settings.dynamodb_url) or self._own
        client = dynamodb_client(endpoint, self.meter, connections_max=THREADS_MAX, patience=self.patience)
        return DynamoDBJobStore(client, self._settings.table)

    def inputs(self, *, requester_pays: bool = False) -> Inputs:
        """Return the user's inputs. With ``requester_pays``, it also reads buckets for which the reader pays."""
        return AnyInputs(LocalInputs(), lambda: S3Inputs(self._users_s3, requester_pays=requester_pays))

    def output_of(self, spec: JobSpec) -> Output:
        """Return the output of a job."""
        return self.output_at(spec.output, spec.job_id)

    def output_at(self, place: str, job_id: str) -> Output:
        """Return the output of the job with this id, in a folder or at an ``s3://`` prefix."""
        if is_s3(place):
            return S3Output(self._users_s3, place, job_id, account=self._account)
        output = FolderOutput(Path(place), job_id, mask=self._mask)
        if self._on_staging:
            self._on_staging(output.staging)
        return output

    @property
    def _own(self) -> Endpoint | None:
        return self._endpoint(self._settings.endpoint_url)

    def _endpoint(self, url: str | None) -> Endpoint | None:
        return Endpoint(url, self._settings.embedded_key) if url else None

    @cached_property
    def _users_s3(self) -> "S3Client":
        endpoint = None if self._settings.embedded_key else self._own
        return s3_client(endpoint, self.meter, connections_max=THREADS_MAX, patience=self.patience)

    def recorder(self) -> "Recorder":
        from s3mr.coordinator.recorder import Recorder

        return Recorder(self.store, self.clock)

    def submitter(self) -> "Submitter":
        from s3mr.coordinator.submission import Submitter

        return Submitter(
            inputs_of=lambda requester_pays: self.inputs(requester_pays=requester_pays),
            objects=self.objects,
            store=self.store,
            output_of=self.output_of,
            clock=self.clock,
            entropy=self.entropy,
            scratch=self.scratch,
        )

    def resumer(self) -> "Resumer":
        from s3mr.coordinator.resumer import Resumer

        return Resumer(self.submitter(), self.parallel)

    def ticker(self, invoker: Invoker, *, capacity: int, waiting_s: float = limits.EVENT_AGE_S) -> "Ticker":
        """Return the coordinator.

        ``invoker`` runs ``capacity`` attempts at once. An attempt waits there at most ``waiting_s`` before it starts.
        """
        from s3mr.coordinator.launcher import Launcher
        from s3mr.coordinator.ticker import Ticker

        return Ticker(
            store=self.store,
            objects=self.objects,
            output_of=self.output_of,
            launcher=Launcher(self.store, self.objects, invoker, self.parallel, self.clock, waiting_s),
            parallel=self.parallel,
            clock=self.clock,
            entropy=self.entropy,
            scratch=self.scratch,
            capacity=capacity,
        )

    def deployed_ticker(self, *, capacity: int) -> "Ticker":
        """Return the coordinator of a stack on AWS, where Lambda runs the workers."""
        from s3mr.adapters.aws.clients import lambda_client
        from s3mr.adapters.aws.lambda_invoker import LambdaInvoker

        invoker = LambdaInvoker(lambda_client(self._own, self.meter, connections_max=THREADS_MAX))
        return self.ticker(invoker, capacity=capacity)

    def prepare_workers(self) -> None:
        """Create the S3 clients, which is slow, before workers are forked. This opens no connection."""
        assert self.objects  # noqa: S101 - created by this first use
        assert self._users_s3  # noqa: S101 - likewise

    def task_handler(self) -> TaskHandler:
        """Return the handler that executes requests in a worker."""
        return TaskHandler(
            objects=self.objects,
            inputs_of=lambda spec: self.inputs(requester_pays=spec.request.requester_pays),
            output_of=self.output_of,
            parallel=self.parallel,
            clock=self.clock,
            entropy=self.entropy,
            scratch=self.scratch,
            code=JobCode(Path(self._settings.scratch_folder or tempfile.gettempdir()) / "s3mr-bundles"),
            requests_sent=self.meter.counts,
        )


def published_at(place: str, *, endpoint_url: str | None = None) -> Published:
    """Return the committed output in a folder or at an ``s3://`` prefix, of any job."""
    if not is_s3(place):
        return FolderPublished(place)
    endpoint = Endpoint(endpoint_url) if endpoint_url else None
    return S3Published(s3_client(endpoint, Meter(), connections_max=THREADS_MAX), place)


def parallel() -> Parallel:
    """Return threads, for commands that use nothing else of a stack."""
    return Threads(threads_max=THREADS_MAX)
