"""Define the ports: small protocols for what s3mr needs from the outside. `adapters` and `local` implement them.

Calls block. Every port may raise `TransientError`; each method lists the other errors that it raises.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Protocol, TypeVar

from s3mr.model.job import AttemptId, Failure, JobState, LiveAttempt, Phase
from s3mr.model.manifest import Manifest, Part
from s3mr.model.object_names import OpenedPart
from s3mr.model.plan import InputObject
from s3mr.model.report import Report, TaskRequest

T = TypeVar("T")
U = TypeVar("U")


class ObjectStore(Protocol):
    """The stack's own bucket: the plan, the bundle and the intermediate objects."""

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        """Store ``body`` under ``key``, durable on return. A file must be seekable, and is read from its start."""

    def stream(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` in blocks of at most 1 MiB.

        Raises:
            InvariantError: there is no such object, or it ends before ``stop``.
        """

    def size(self, key: str) -> int | None:
        """Return the size of the object in bytes; None if it does not exist."""

    def copy(self, source: str, target: str) -> bool:
        """Copy an object inside the store. Return False if it does not exist. Idempotent."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with ``prefix``, sorted."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete ``keys``. It is not an error if some do not exist."""


@dataclass(frozen=True, slots=True)
class Found:
    """The inputs that the user's arguments match, each once, sorted within each argument; and the number skipped."""

    objects: tuple[InputObject, ...]
    skipped: int


class Inputs(Protocol):
    """The user's inputs: files, or objects in S3."""

    def find(self, arguments: Sequence[str]) -> Found:
        """Expand files, folders, globs and s3:// prefixes.

        Raises:
            RequestError: an argument matches nothing, or cannot be read.
        """

    def look_up(self, source: str) -> InputObject | None:
        """Return the object with exactly this name, as it is now; None if it does not exist.

        Raises:
            RequestError: access is denied.
        """

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` of ``source`` in blocks of at most 1 MiB.

        Raises:
            RequestError: it has vanished or changed since it was found, or access is denied.
        """


class PartWriter(Protocol):
    """Writes one part. The part is not visible until it is completed."""

    def write(self, data: bytes) -> None: ...

    def finish(self, *, records: int) -> Part:
        """Make everything written durable, and return what `Output.complete` needs."""

    def abandon(self) -> None:
        """Remove what was written. Called at most once, instead of `finish`."""


class Output(Protocol):
    """One job's output: a folder or an s3:// prefix."""

    def check(self, *, deadline_s: float) -> None:
        """Refuse an output that a job that takes ``deadline_s`` could not write. Called before any task runs.

        Raises:
            RequestError: it is not empty, is not a folder, cannot be written, or does not keep open parts that long.
        """

    def check_empty(self) -> None:
        """Refuse an output that is not empty. It creates nothing, and needs only the permission to list.

        Raises:
            RequestError: it is not empty, is not a folder, or cannot be listed.
        """

    def open_part(self, name: str, *, worker: str, announce: Callable[[str], object]) -> PartWriter:
        """Start a part. Two workers that write the same part never touch each other's bytes.

        Before any data is sent, ``announce`` is called with the id of an upload that can stay open if its writer dies.
        The coordinator finds the upload by that id. An output that keeps open parts in the job's own place does not
        call it.
        """

    def begin_commit(self) -> None:
        """Lock the output for this job's commit: no other job, of any table, can commit to it meanwhile. Idempotent.

        Raises:
            InvariantError: another job commits to it, or has committed.
        """

    def complete(self, part: Part) -> None:
        """Put a winner's part at its final name. Idempotent.

        Raises:
            InvariantError: another object is in the way, or the upload is certainly lost.
        """

    def discard_open(self, opened: Iterable[OpenedPart]) -> None:
        """Abort these uploads, and remove open parts in the job's own place. Nothing else is touched.

        It is not an error if an upload does not exist any more.
        """

    def publish(self, success: bytes, names: Collection[str]) -> None:
        """Write ``_SUCCESS``, which completes the output and ends the commit. Idempotent.

        ``names`` are the parts of the job. Nothing else that looks like a part is published with them.

        Raises:
            InvariantError: there is another job's ``_SUCCESS`` or part.
        """

    def withdraw(self, parts: Iterable[Part]) -> None:
        """Remove those of a job's ``parts`` that were completed and are certainly ours, and end its commit.

        In a folder, everything that the job has created is removed.
        """


class Published(Protocol):
    """A job's committed output, as users see it. It is only read."""

    @property
    def place(self) -> str:
        """The folder or ``s3://`` prefix, as the user named it."""

    def names(self) -> Iterator[str]:
        """Yield the names in the output. A subfolder is one name, which ends with ``/``.

        Raises:
            RequestError: the output cannot be listed.
        """

    def stream(self, name: str) -> Iterator[bytes] | None:
        """Return an object's bytes, in blocks of at most 1 MiB; None if it does not exist.

        Raises:
            RequestError: access is denied.
            InvariantError: the object was replaced or deleted while it was read.
        """


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tick reads: the job, whether it was cancelled, and its attempts that have not won."""

    job: JobState
    cancel_requested: bool
    live: tuple[LiveAttempt, ...]


class Commit(Enum):
    """The result of committing a manifest."""

    WON = "won"
    REPEATED = "repeated"  # the same manifest has won before
    LOST = "lost"  # another one won, or the task is sealed


@dataclass(frozen=True, slots=True)
class Logged:
    """The result of an execution that did not win, for users. ``worker`` is None if it died before it reported."""

    attempt: int
    worker: str | None
    verdict: str
    failure: Failure | None
    at: float


class JobStore(Protocol):
    """The table with the state of all jobs. Every write that decides is conditional; losing a race is not an error."""

    def claim_output(self, output: str, *, job_id: str) -> str | None:
        """Claim ``output`` for the job. Return None, or the id of the other job that has claimed it.

        The claim of a released job does not count.
        """

    def release_output(self, output: str, *, job_id: str) -> None:
        """Remove the claim if it is this job's."""

    def create(self, job: JobState) -> bool:
        """Write a new job. Return False if its id is taken."""

    def observe(self, job_id: str) -> Observation | None:
        """Read the job and its live attempts, strongly consistent; None if there is no such job."""

    def read_job(self, job_id: str) -> JobState | None:
        """Read only the job; None if there is no such job."""

    def replace(self, job: JobState, *, epoch: int) -> bool:
        """Replace the job if its epoch is ``epoch``, or if this same write was done before. Else return False."""

    def newest(self, count: int) -> list[JobState]:
        """Return the newest jobs, newest first. Jobs written by a version with another schema are left out."""

    def request_cancel(self, job_id: str, *, at: float) -> None:
        """Request the job's cancellation. The next tick reads the request."""

    def begin(self, job_id: str, attempts: Sequence[LiveAttempt]) -> None:
        """Write live attempts. Idempotent."""

    def record_failure(
        self, job_id: str, *, phase: Phase, attempt: AttemptId, failure: Failure, failed_at: float
    ) -> bool:
        """Add the failure to a live attempt. Return False if it is not live or has failed before."""

    def forget(self, job_id: str, phase: Phase, attempts: Iterable[AttemptId]) -> None:
        """Delete live attempts."""

    def commit(self, job: JobState, manifest: Manifest) -> Commit:
        """Record ``manifest`` permanently as its task's winner, unless the task has a winner or is sealed."""

    def seal(self, job: JobState, phase: Phase, tasks: Iterable[int]) -> None:
        """Seal tasks that have no winner, so that nothing can be committed to them any more."""

    def manifests(self, job: JobState, phase: Phase, tasks: Iterable[int]) -> dict[int, Manifest]:
        """Return the winners of some tasks, by task, strongly consistent. Tasks without a winner are left out."""

    def all_manifests(self, job: JobState, phase: Phase) -> Iterator[Manifest]:
        """Yield all winners of a phase, ordered by task, strongly consistent."""

    def log_attempt(self, job: JobState, report: Report, *, verdict: str, at: float) -> None:
        """Log the result of an execution that did not win, for users. The first entry of an execution is kept.

        Forgeries are logged separately: they say nothing about the execution that they name.
        """

    def logged(self, job: JobState, phase: Phase, task: int) -> list[Logged]:
        """Return the log of one task, ordered by attempt."""

    def erase(self, job: JobState) -> None:
        """Delete everything about an ended job, starting with the items of its tasks. Idempotent."""

    def count_ignored(self, job: JobState) -> int:
        """Return how many completions were logged as ignored."""


class Invoker(Protocol):
    """Starts workers, asynchronously and at least once."""

    def invoke(self, request: TaskRequest) -> None:
        """Send one attempt to a worker. It may run once or twice, or be lost.

        Raises:
            TransientError: the service refused it for now.
        """


class Parallel(Protocol):
    """Runs blocking calls in parallel."""

    def map(self, function: Callable[[T], U], items: Iterable[T], *, width: int) -> Iterator[U]:
        """Yield ``function(item)`` in the items' order, with at most ``width`` calls ahead.

        An error is raised when it is its item's turn. No call is running then.
        """


class Clock(Protocol):
    def now(self) -> float:
        """Return the seconds since the Unix epoch."""

    def sleep(self, seconds: float) -> None: ...


class Entropy(Protocol):
    def hex(self, digits: int) -> str:
        """Return this many unpredictable hexadecimal digits."""
