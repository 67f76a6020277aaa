"""What a task is given besides its request, and what it leaves behind."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from s3mr.model.manifest import Books, Part
from s3mr.model.report import TaskRequest
from s3mr.model.statistics import Counters
from s3mr.ports import Clock, Entropy, ObjectStore, Output, Parallel
from s3mr.shuffle.merge import Scratch


class Records(Protocol):
    """The records of one map task, in order, as batches (source, records); to be iterated over once."""

    @property
    def consumed_bytes(self) -> int:
        """Bytes of the input objects that belong to the records yielded so far; at the end, to all of them."""

    def __iter__(self) -> Iterator[tuple[str, Sequence[Any]]]: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The world of a worker.

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
class Outcome:
    """What a task that went well leaves behind: the facts of its manifest. All of it lies durable already."""

    counters: Counters
    key_type: str | None = None
    pieces: bytes | None = None
    books: Books | None = None
    part: Part | None = None
