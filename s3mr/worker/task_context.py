"""Define what a task needs besides its request, and what it returns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from s3mr.model.manifest import Books, Part
from s3mr.model.report import TaskRequest
from s3mr.model.statistics import Counters
from s3mr.ports import Clock, Entropy, ObjectStore, Output, Parallel
from s3mr.shuffle.external_sort import Scratch


class Records(Protocol):
    """The records of one map task, in order, as batches (source, records). Iterate over them once."""

    @property
    def consumed_bytes(self) -> int:
        """Bytes of the input objects that the records so far come from; after the last record, all bytes."""

    def __iter__(self) -> Iterator[tuple[str, Sequence[Any]]]: ...


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The ports and functions that a task uses.

    ``open_records`` reads the plan and the inputs of a map task. ``scratch`` returns a new, empty, anonymous temporary
    file.
    """

    store: ObjectStore
    output: Output
    parallel: Parallel
    clock: Clock
    entropy: Entropy
    scratch: Scratch
    open_records: Callable[[TaskRequest], Records]


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What a successful task returns: the facts for its manifest. All data that they describe is already durable."""

    counters: Counters
    key_type: str | None = None
    pieces: bytes | None = None
    books: Books | None = None
    part: Part | None = None
