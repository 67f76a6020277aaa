"""What s3mr needs of the world, as small protocols. `adapters` and `local` fill them; tests use honest fakes.

Calls block. Every port may raise `TransientError`; what else it may raise stands at the method.
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
        """Store ``body`` (a seekable file is read from its start) under ``key``; durable on return."""

    def stream(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` in blocks of at most 1 MiB.

        Raises:
            InvariantError: no such object, or it ends before ``stop``.
        """

    def size(self, key: str) -> int | None:
        """Return how many bytes the object has; None: there is none."""

    def copy(self, source: str, target: str) -> bool:
        """Copy an object without reading it here; False: there is none. Repeating it is harmless."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with ``prefix``, sorted."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete ``keys``; those that do not exist are no error."""


@dataclass(frozen=True, slots=True)
class Found:
    """The inputs behind the user's arguments, sorted within each argument, each once; and how many were skipped."""

    objects: tuple[InputObject, ...]
    skipped: int


class Inputs(Protocol):
    """The user's inputs, wherever they lie."""

    def find(self, arguments: Sequence[str]) -> Found:
        """Expand files, directories, globs and s3:// prefixes.

        Raises:
            RequestError: an argument names nothing, or must not be read.
        """

    def look_up(self, source: str) -> InputObject | None:
        """Return the object of exactly this name as it is now; None: there is none.

        Raises:
            RequestError: it must not be looked at.
        """

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` of ``source`` in blocks of at most 1 MiB.

        Raises:
            RequestError: it has vanished or changed since it was found, or must not be read.
        """


class PartWriter(Protocol):
    """One part on its way to its place; invisible there until it is completed."""

    def write(self, data: bytes) -> None: ...

    def finish(self, *, records: int) -> Part:
        """Make everything written durable and return what `Output.complete` needs."""

    def abandon(self) -> None:
        """Remove what was written. Called at most once, instead of `finish`."""


class Output(Protocol):
    """Where one job's output appears: a folder or an s3:// prefix. Bound to its job."""

    def check(self, *, deadline_s: float) -> None:
        """Refuse, before anything runs, an output that could not be written by a job that takes ``deadline_s``.

        Raises:
            RequestError: it is not empty, is no folder, must not be written, or keeps open parts for less long.
        """

    def check_empty(self) -> None:
        """Refuse an output in which something is. It only looks; it makes nothing, and takes no right but to list.

        Raises:
            RequestError: it is not empty, is no folder, or must not be listed.
        """

    def open_part(self, name: str, *, worker: str, announce: Callable[[str], object]) -> PartWriter:
        """Begin a part; two workers on one part never touch each other's bytes.

        ``announce`` is called with the id of an upload that may outlive its writer, before any data is sent. The
        coordinator finds the upload by that id. An output that keeps open parts in a place of its own does not call it.
        """

    def begin_commit(self) -> None:
        """Take the output for this job's commit: no other job, of whatever table, commits to it until this one ends.

        Repeating it is harmless.

        Raises:
            InvariantError: another job commits there, or has.
        """

    def complete(self, part: Part) -> None:
        """Put a winner's part at its final name. Repeating it is harmless.

        Raises:
            InvariantError: another object is in the way, or the upload is proven lost.
        """

    def discard_open(self, opened: Iterable[OpenedPart]) -> None:
        """Abort these uploads, and remove what attempts left open in a place of the job's own. Nothing else is touched.

        An upload that is gone is no error.
        """

    def publish(self, success: bytes, names: Collection[str]) -> None:
        """Write ``_SUCCESS`` last; from here the output is whole, and the commit has ended. Repeating it is harmless.

        ``names`` are the parts of the job: nothing else that looks like one is published with them.

        Raises:
            InvariantError: somebody else's ``_SUCCESS`` or part stands there.
        """

    def withdraw(self, parts: Iterable[Part]) -> None:
        """Remove those of a job's parts that were completed and are proven ours, and end a commit that was begun.

        In a folder, all that the job has made goes.
        """


class Published(Protocol):
    """A job's output as everybody sees it, once it is committed. Reading it changes nothing."""

    @property
    def place(self) -> str:
        """The folder or ``s3://`` prefix, as it was named."""

    def names(self) -> Iterator[str]:
        """Yield the names of what lies there; what lies deeper is one name, which ends with ``/``.

        Raises:
            RequestError: it must not be listed.
        """

    def stream(self, name: str) -> Iterator[bytes] | None:
        """Return an object's bytes, in blocks of at most 1 MiB; None: there is none of that name.

        Raises:
            RequestError: it must not be read.
            InvariantError: it cannot be read as one object: it was replaced or has vanished under the reading.
        """


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tick reads: the job, whether its end was asked for, and the attempts that have not won."""

    job: JobState
    cancel_requested: bool
    live: tuple[LiveAttempt, ...]


class Commit(Enum):
    """What became of a manifest."""

    WON = "won"
    REPEATED = "repeated"  # this very manifest is the winner already
    LOST = "lost"  # another one won, or the task is sealed


@dataclass(frozen=True, slots=True)
class Logged:
    """What became of an execution that did not win, for people; ``worker`` None: it died before it could say."""

    attempt: int
    worker: str | None
    verdict: str
    failure: Failure | None
    at: float


class JobStore(Protocol):
    """The truth: one table. Every write that decides is conditional; losing a race is an answer."""

    def claim_output(self, output: str, *, job_id: str) -> str | None:
        """Claim ``output`` for the job; return None, or the id of the other job that holds it.

        A job that is released holds nothing any more, whatever the claim says.
        """

    def release_output(self, output: str, *, job_id: str) -> None:
        """Give the claim up if it is this job's."""

    def create(self, job: JobState) -> bool:
        """Write a new job; False if its id is taken."""

    def observe(self, job_id: str) -> Observation | None:
        """Read the job and its live attempts, strongly consistent; None if there is no such job."""

    def read_job(self, job_id: str) -> JobState | None:
        """Read the job alone."""

    def replace(self, job: JobState, *, epoch: int) -> bool:
        """Replace the job if its epoch is ``epoch`` (or the write is our own, retried); else False."""

    def newest(self, count: int) -> list[JobState]:
        """Return the newest jobs, the newest first; those that another version of s3mr has written are left out."""

    def request_cancel(self, job_id: str, *, at: float) -> None:
        """Wish for the job's end; the next tick hears it."""

    def begin(self, job_id: str, attempts: Sequence[LiveAttempt]) -> None:
        """Write live attempts. Repeating it with the same values is harmless."""

    def record_failure(
        self, job_id: str, *, phase: Phase, attempt: AttemptId, failure: Failure, failed_at: float
    ) -> bool:
        """Add the failure to a live attempt; False if it is not live or has failed before."""

    def forget(self, job_id: str, phase: Phase, attempts: Iterable[AttemptId]) -> None:
        """Delete live attempts."""

    def commit(self, job: JobState, manifest: Manifest) -> Commit:
        """Record ``manifest`` as its task's winner, for ever, unless the task has one or is sealed."""

    def seal(self, job: JobState, phase: Phase, tasks: Iterable[int]) -> None:
        """Close tasks without a winner: nothing can be committed to them any more."""

    def manifests(self, job: JobState, phase: Phase, tasks: Iterable[int]) -> dict[int, Manifest]:
        """Read the winners of some tasks, strongly consistent; tasks without one are missing in the answer."""

    def all_manifests(self, job: JobState, phase: Phase) -> Iterator[Manifest]:
        """Yield all winners of a phase by task, strongly consistent."""

    def log_attempt(self, job: JobState, report: Report, *, verdict: str, at: float) -> None:
        """Keep, for people, what became of an execution that did not win; what was kept of it first stands.

        Forgeries are kept apart: they say nothing of the execution in whose name they come.
        """

    def logged(self, job: JobState, phase: Phase, task: int) -> list[Logged]:
        """What `log_attempt` has kept of one task, by attempt."""

    def erase(self, job: JobState) -> None:
        """Forget all about an ended job; what its tasks left goes first. Repeating it is harmless."""

    def count_ignored(self, job: JobState) -> int:
        """How many completions were logged as ignored."""


class Invoker(Protocol):
    """Starts workers, asynchronously and at least once."""

    def invoke(self, request: TaskRequest) -> None:
        """Hand one attempt over; it may run, run twice, or be lost.

        Raises:
            TransientError: refused for now.
        """


class Parallel(Protocol):
    """Overlaps blocking calls."""

    def map(self, function: Callable[[T], U], items: Iterable[T], *, width: int) -> Iterator[U]:
        """Yield ``function(item)`` in the items' order, at most ``width`` ahead.

        An error is raised in its turn; none of the calls goes on then.
        """


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None: ...


class Entropy(Protocol):
    def hex(self, digits: int) -> str:
        """That many unpredictable hexadecimal digits."""
