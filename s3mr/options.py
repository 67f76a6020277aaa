"""What may be asked of a job, wherever it runs, and the order that comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from s3mr import limits
from s3mr.coordinator.submission import Order
from s3mr.errors import RequestError
from s3mr.model.durations import parse_duration
from s3mr.model.job import WorkerFunctions
from s3mr.model.sizes import parse_size
from s3mr.policy.planning import RequestedLayout
from s3mr.reducers import Reducer
from s3mr.usercode.location import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a job is to be run; sizes in bytes and times in seconds, or as text. None: what fits where it runs.

    ``output`` None: a temporary folder, the caller's to remove. ``workers`` are processes here, or attempts at once.
    """

    output: str | None = None
    reducers: int | None = None
    workers: int | None = None
    split_size: int | str | None = None
    layout: RequestedLayout = "auto"
    input_format: str | None = None
    memory: int | str | None = None
    attempts: int = limits.ATTEMPTS
    task_timeout_s: float | None = None
    deadline: float | str = limits.DEADLINE_S
    params: Mapping[str, str] = field(default_factory=dict)
    requester_pays: bool = False
    include: Sequence[Path] = ()
    requirements: Path | None = None
    keep_intermediate: Path | None = None
    leave_intermediate: bool = False  # in the stack's bucket, for whoever watches
    endpoint_url: str | None = None  # of services that live on, with workers here
    chaos: str = ""  # workers here only
    stderr: int | None = None  # a file descriptor for what user code prints here; ours where None


class Description(Protocol):
    """What the plan depends on in a `Job`."""

    @property
    def reduce(self) -> object | None: ...
    @property
    def combine(self) -> object | None: ...
    @property
    def reducers(self) -> int | None: ...
    @property
    def input(self) -> str: ...
    @property
    def params(self) -> Mapping[str, str] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the place in which a job runs decides."""

    memory_bytes: int
    task_timeout_s: float
    workers: int | None = None  # attempts at once; None: as many as there is room for
    even_workers: int = 1  # among whom tasks should divide evenly
    combined_split_bytes: int = limits.SPLIT_SIZE_BYTES  # at most, where nobody says, if pairs are combined
    reducer_bytes: int = limits.REDUCER_BYTES  # of input, where nobody has said how many reducers there are …
    reducers_max: int = limits.REDUCERS_CHOSEN_MAX  # … and never more than this
    functions: WorkerFunctions | None = None


def order_of(
    job: Description,
    code: Code,
    options: Options,
    around: Surroundings,
    *,
    bundle: bytes,
    inputs: Sequence[str],
    output: str,
) -> Order:
    """Return the order of ``job`` with ``options``; what these leave open is as the job says, or as it is ``around``.

    Raises:
        RequestError: an option makes no sense.
    """
    if options.requirements is not None:
        check_requirements(options.requirements)
    return Order(
        bundle=bundle,
        module=code.module,
        name=code.name,
        inputs=inputs,
        output=output,
        reducers=_reducers(job, options),
        input_format=job.input if options.input_format is None else options.input_format,
        split_size_bytes=None if options.split_size is None else size_bytes(options.split_size),
        layout=options.layout,
        memory_bytes=around.memory_bytes,
        attempts=options.attempts,
        task_timeout_s=around.task_timeout_s,
        params={**(job.params or {}), **options.params},
        keep_intermediate=options.keep_intermediate is not None or options.leave_intermediate,
        deadline_s=parse_duration(options.deadline) if isinstance(options.deadline, str) else options.deadline,
        requester_pays=options.requester_pays,
        workers=around.workers,
        even_workers=around.even_workers,
        split_bytes_max=around.combined_split_bytes if _combines(job) else limits.SPLIT_SIZE_BYTES,
        reducer_bytes=around.reducer_bytes,
        reducers_max=around.reducers_max,
        functions=around.functions,
    )


def check_requirements(file: Path) -> None:
    """Refuse a file of requirements that is not there; also where nothing is installed from it."""
    if not file.is_file():
        raise RequestError(f"--requirements {file}: there is no such file")


def size_bytes(given: int | str) -> int:
    """Return the bytes that ``given`` says, a number or text such as ``"64MiB"``."""
    return parse_size(given) if isinstance(given, str) else given


def _combines(job: Description) -> bool:
    """Whether map tasks make one of the values of a key: the fewer tasks, the fewer are left."""
    return job.combine is not None or isinstance(job.reduce, Reducer)


def _reducers(job: Description, options: Options) -> int | None:
    asked = options.reducers if options.reducers is not None else job.reducers
    if asked is not None and (type(asked) is not int or asked < 1):
        raise RequestError(f"--reducers must be a whole number from 1, not {asked!r}")
    if job.reduce is None:
        if options.reducers is not None:
            raise RequestError("--reducers: this job has no reduce; it writes one part a map task")
        return 0
    return asked
