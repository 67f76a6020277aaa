"""`Job`: what a user writes. Four plain functions, and `run`.

It imports next to nothing: it is loaded in every worker. What `run` needs is imported when it is called.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from s3mr import limits
from s3mr.errors import RequestError
from s3mr.importing import under_way

if TYPE_CHECKING:
    from s3mr.model.result import JobResult

MapFunction = Callable[[str, Any], Iterable[tuple[Any, Any]]]
GroupFunction = Callable[[Any, Iterator[Any]], Iterable[tuple[Any, Any]]]
PartitionFunction = Callable[[Any, int], int]
Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_ARGUMENTS: Final = {
    "map": "(source, record)",
    "reduce": "(key, values)",
    "combine": "(key, values)",
    "partition": "(key, reducers)",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A job as its author writes it, checked as far as can be without running it.

    ``map(source, record)`` returns an iterable of pairs, as do ``reduce(key, values)`` and ``combine(key, values)``;
    ``combine`` must yield its own key. ``partition(key, reducers)`` returns a number in ``[0, reducers)``; without it,
    keys are spread by a stable hash. A job without ``reduce`` writes what ``map`` yields, one part a map task.

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
        reducers = self.reducers
        if reducers is not None and not (type(reducers) is int and 1 <= reducers <= limits.REDUCERS_MAX):
            raise RequestError(f"Job(reducers=) must be from 1 to {limits.REDUCERS_MAX}, not {reducers!r}")
        params = {} if self.params is None else self.params
        if not isinstance(params, Mapping) or not all(isinstance(one, str) for pair in params.items() for one in pair):
            raise RequestError(f"Job(params=) must map strings to strings, not be {params!r}")

    def run(
        self,
        inputs: Inputs,
        output: str | os.PathLike[str] | None = None,
        *,
        reducers: int | None = None,
        workers: int | None = None,
        split_size: int | str = limits.SPLIT_SIZE_BYTES,
        layout: Literal["auto", "split", "packed"] = "auto",
        input_format: str | None = None,
        memory: int | str = limits.MEMORY_BYTES,
        attempts: int = limits.ATTEMPTS,
        task_timeout_s: float = limits.TASK_TIMEOUT_S,
        params: Mapping[str, str] | None = None,
        keep_intermediate: str | os.PathLike[str] | None = None,
    ) -> "JobResult":
        """Run the job on this machine and return its result, once its output is whole.

        ``inputs`` are files, folders, globs or ``s3://`` prefixes. ``output`` is a new or empty folder, or an
        ``s3://`` prefix; without it the result holds its lines (`JobResult.lines`) for as long as it lives. Sizes are
        bytes, or text such as ``"64MiB"``. The job must be a global of a module that lies in a file: workers import it.

        Raises:
            RequestError: refused before anything ran.
            JobFailedError: the job failed; there is no output.
        """
        if under_way():
            raise RequestError(
                "run() was called while the job's module is being imported: put the call under "
                'if __name__ == "__main__":'
            )
        from s3mr.loading import locate
        from s3mr.local.running import Options, run_local

        options = Options(
            output=None if output is None else os.fspath(output),
            reducers=reducers,
            workers=workers,
            split_size=split_size,
            layout=layout,
            input_format=input_format,
            memory=memory,
            attempts=attempts,
            task_timeout_s=task_timeout_s,
            params=params or {},
            keep_intermediate=None if keep_intermediate is None else Path(keep_intermediate),
        )
        given = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
        return run_local(self, locate(self), [os.fspath(one) for one in given], options)


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
