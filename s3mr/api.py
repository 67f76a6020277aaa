"""`Job`: what a user writes. Four plain functions, and `run` and `submit`.

It imports next to nothing: it is loaded in every worker. What `run` needs is imported when it is called.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack

from s3mr import limits
from s3mr.errors import RequestError
from s3mr.reducers import Reducer
from s3mr.usercode.imports import is_importing

if TYPE_CHECKING:
    from s3mr.model.result import JobResult
    from s3mr.options import Options
    from s3mr.usercode.location import Code

MapFunction = Callable[[str, Any], Iterable[tuple[Any, Any]]]
GroupFunction = Callable[[Any, Iterator[Any]], Iterable[tuple[Any, Any]]]
PartitionFunction = Callable[[Any, int], int]
Place = str | os.PathLike[str]
Inputs = Place | Iterable[Place]

_ARGUMENTS: Final = {
    "map": "(source, record)",
    "reduce": "(key, values)",
    "combine": "(key, values)",
    "partition": "(key, reducers)",
}


class JobOptions(TypedDict, total=False):
    """How a job is run, as ``s3mr run --help`` explains. Sizes are bytes, durations seconds, or text as there."""

    reducers: int | None
    workers: int | None
    split_size: int | str | None
    layout: Literal["auto", "split", "packed"]
    input_format: str | None
    memory: int | str | None
    attempts: int
    task_timeout_s: float | None
    deadline: float | str
    params: Mapping[str, str]
    include: Iterable[Place]
    requirements: Place | None
    requester_pays: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A job as its author writes it, checked as far as can be without running it.

    ``map(source, record)`` returns an iterable of pairs, as do ``reduce(key, values)`` and ``combine(key, values)``;
    ``combine`` must yield its own key. ``partition(key, reducers)`` returns a number in ``[0, reducers)``; without it,
    keys are spread by a stable hash. A job without ``reduce`` writes what ``map`` yields, one part a map task.
    `s3mr.reducers` has reducers that need no ``combine``.

    Raises:
        RequestError: a function takes the wrong number of arguments, or an option makes no sense.
    """

    map: MapFunction
    reduce: GroupFunction | None = None
    combine: GroupFunction | None = None
    partition: PartitionFunction | None = None
    reducers: int | None = None
    input: str = "text"
    params: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name, arguments in _ARGUMENTS.items():
            _check_arity(name, getattr(self, name), arguments)
        if self.reduce is None:
            for name in ("combine", "partition", "reducers"):
                if getattr(self, name) is not None:
                    raise RequestError(f"a Job without reduce has no use for {name}: add reduce, or leave {name} out")
        if isinstance(self.combine, Reducer):
            raise RequestError(
                f"Job(combine={self.combine!r}): name it as reduce, and leave combine out: it is built in"
            )
        reducers = self.reducers
        if reducers is not None and not (type(reducers) is int and 1 <= reducers <= limits.REDUCERS_MAX):
            raise RequestError(f"Job(reducers=) must be from 1 to {limits.REDUCERS_MAX}, not {reducers!r}")
        params = {} if self.params is None else self.params
        if not isinstance(params, Mapping) or not all(isinstance(one, str) for pair in params.items() for one in pair):
            raise RequestError(f"Job(params=) must map strings to strings, not be {params!r}")

    def run(
        self,
        inputs: Inputs,
        output: Place | None = None,
        *,
        stack: str | None = None,
        endpoint_url: str | None = None,
        keep_intermediate: Place | None = None,
        **options: Unpack[JobOptions],
    ) -> "JobResult":
        """Run the job and return its result, once its output is whole: on this machine, or on the stack of that name.

        ``inputs`` are files, folders, globs or ``s3://`` prefixes. ``output`` is a new or empty folder, or an
        ``s3://`` prefix; without it the result holds its lines (`JobResult.lines`) for as long as it lives. On a stack,
        both are in S3. At an ``endpoint_url`` S3 and DynamoDB are used that live on, with workers on this machine. The
        job must be a global of a module that lies in a file: workers import it. `JobOptions` has the other options.

        Raises:
            RequestError: refused before anything ran.
            JobFailedError: the job failed; there is no output.
            DetachedError: a job on a stack cannot be seen any more; it goes on.
        """
        kept = None if keep_intermediate is None else Path(keep_intermediate)
        code, given, asked = self._asked(inputs, output, options, endpoint_url=endpoint_url, keep_intermediate=kept)
        if stack is None:
            from s3mr.local.local_job import run_local

            return run_local(self, code, given, asked)
        from s3mr.remote.job_home import open_to_submit
        from s3mr.remote.job_watch import wait
        from s3mr.remote.stack_submission import submit

        home = open_to_submit(stack)
        return wait(home, submit(self, code, given, asked, home), keep_intermediate=kept)

    def submit(self, inputs: Inputs, output: str, *, stack: str, **options: Unpack[JobOptions]) -> str:
        """Start the job on the stack of that name, and return its id without waiting: ``s3mr watch ID`` follows it.

        Raises:
            RequestError: refused; nothing was started.
        """
        code, given, asked = self._asked(inputs, output, options)
        from s3mr.remote.job_home import open_to_submit
        from s3mr.remote.stack_submission import submit

        return submit(self, code, given, asked, open_to_submit(stack)).spec.job_id

    def _asked(
        self,
        inputs: Inputs,
        output: Place | None,
        options: JobOptions,
        *,
        endpoint_url: str | None = None,
        keep_intermediate: Path | None = None,
    ) -> "tuple[Code, list[str], Options]":
        """Return where the job's code lies, its inputs, and its options."""
        if is_importing():
            raise RequestError(
                "run() or submit() was called while the job's module is being imported: put the call under "
                'if __name__ == "__main__":'
            )
        if unknown := options.keys() - JobOptions.__annotations__.keys():
            raise TypeError(f"no such option: {', '.join(sorted(unknown))}; JobOptions says which there are")
        from s3mr.options import Options
        from s3mr.usercode.location import locate

        more: dict[str, Any] = {**options, "include": tuple(Path(one) for one in options.get("include", ()))}
        if more.get("requirements") is not None:
            more["requirements"] = Path(more["requirements"])
        asked = Options(
            output=None if output is None else os.fspath(output),
            endpoint_url=endpoint_url,
            keep_intermediate=keep_intermediate,
            **more,
        )
        given = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
        return locate(self), [os.fspath(one) for one in given], asked


def _check_arity(name: str, function: object, arguments: str) -> None:
    if function is None and name != "map":
        return
    if not callable(function):
        raise RequestError(f"Job({name}=) must be a function of {arguments}, not {type(function).__name__}")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions tell nothing
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        called = getattr(function, "__name__", name)
        raise RequestError(f"{name} is called with {arguments}, but {called}{signature} cannot be: {error}") from None
