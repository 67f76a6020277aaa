"""Define `Job`, which users write: up to four plain functions, and the methods `run` and `submit`.

This module imports almost nothing, because every worker loads it. `run` imports what it needs when you call it.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from s3mr import limits
from s3mr.errors import RequestError
from s3mr.options import RunOptions, Where
from s3mr.reducers import Reducer
from s3mr.usercode.imports import is_importing

if TYPE_CHECKING:
    from s3mr.model.result import JobResult
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


_P = ParamSpec("_P")
_R = TypeVar("_R")


def _with_options(
    options: Callable[_P, RunOptions],
) -> Callable[[Callable[["Job", Inputs, RunOptions], _R]], Callable[Concatenate["Job", Inputs, _P], _R]]:
    """Give a method the arguments of ``options``, so that each option is declared only there."""

    def decorated(method: Callable[["Job", Inputs, RunOptions], _R]) -> Callable[Concatenate["Job", Inputs, _P], _R]:
        @wraps(method)
        def called(job: "Job", inputs: Inputs, /, *given: _P.args, **named: _P.kwargs) -> _R:
            if unknown := named.keys() - accepted.keys():
                raise TypeError(f"no such option: {', '.join(sorted(unknown))}; see s3mr.options.RunOptions")
            return method(job, inputs, options(*given, **named))

        taken = list(inspect.signature(method).parameters.values())[:2]
        accepted = inspect.signature(options).parameters
        called.__signature__ = inspect.Signature([*taken, *accepted.values()])  # type: ignore[attr-defined]
        return called

    return decorated


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A MapReduce job: your functions, and their defaults.

    ``map(source, record)``, ``reduce(key, values)`` and ``combine(key, values)`` return iterables of pairs. ``combine``
    must yield its own key. ``partition(key, reducers)`` returns a number in ``[0, reducers)``; without it, a stable
    hash spreads the keys. ``params`` declares the job's parameters with their default values; None means that a value
    must be given. A job without ``reduce`` writes the pairs of ``map``, one part per map task. With a reducer
    of `s3mr.reducers` you need no ``combine``.

    Raises:
        RequestError: a function takes the wrong number of arguments, or an option is not valid.
    """

    map: MapFunction
    reduce: GroupFunction | None = None
    combine: GroupFunction | None = None
    partition: PartitionFunction | None = None
    reducers: int | None = None
    input: str = "text"
    params: Mapping[str, str | None] | None = None

    def __post_init__(self) -> None:
        for name, arguments in _ARGUMENTS.items():
            _check_arity(name, getattr(self, name), arguments)
        if self.reduce is None:
            for name in ("combine", "partition", "reducers"):
                if getattr(self, name) is not None:
                    raise RequestError(f"Job({name}=) has no effect without reduce: add reduce, or remove {name}")
        if isinstance(self.combine, Reducer):
            raise RequestError(
                f"Job(combine={self.combine!r}): pass it as reduce, and remove combine: a Reducer combines by itself"
            )
        reducers = self.reducers
        if reducers is not None and not (type(reducers) is int and 1 <= reducers <= limits.REDUCERS_MAX):
            raise RequestError(f"Job(reducers=) must be from 1 to {limits.REDUCERS_MAX}, not {reducers!r}")
        params = {} if self.params is None else self.params
        if not isinstance(params, Mapping) or not all(
            isinstance(name, str) and isinstance(value, str | None) for name, value in params.items()
        ):
            raise RequestError(f"Job(params=) must map strings to strings or None, not be {params!r}")

    @_with_options(RunOptions)
    def run(self, inputs: Inputs, options: RunOptions) -> "JobResult":
        """Run the job, on this machine or on the stack with the name ``stack``. Return its result when it is done.

        ``inputs`` are files, folders, globs or ``s3://`` prefixes. ``output`` is a new or empty folder, or an
        ``s3://`` prefix. Without it, read the lines from the result (`JobResult.lines`); they are deleted with it. On a
        stack, inputs and output are in S3. With ``endpoint_url``, job state is kept in the S3 and DynamoDB services at
        that URL, and workers run on this machine. The job must be a global variable of a module in a file, because
        workers import it. The reference lists all options.

        Raises:
            RequestError: the job cannot run as requested. Nothing was started.
            JobFailedError: the job failed. There is no output.
            DetachedError: a job on a stack cannot be reached. It keeps running.
        """
        code, given = self._located(inputs, options, "run")
        if options.stack is None:
            from s3mr.local.local_job import run_local

            return run_local(self, code, given, options)
        from s3mr.remote.job_home import open_to_submit
        from s3mr.remote.job_watch import wait
        from s3mr.remote.stack_submission import submit

        home = open_to_submit(options.stack)
        kept = None if options.keep_intermediate is None else Path(options.keep_intermediate)
        return wait(home, submit(self, code, given, options, home), keep_intermediate=kept)

    @_with_options(RunOptions)
    def submit(self, inputs: Inputs, options: RunOptions) -> str:
        """Start the job on the stack with the name ``stack``, and return its id. Follow it with ``s3mr watch ID``.

        It takes the options of `run`, except those for workers on this machine.

        Raises:
            RequestError: the job cannot run as requested. Nothing was started.
        """
        if options.stack is None or options.output is None:
            raise RequestError("submit() needs stack= and output=, because the job runs without this process")
        code, given = self._located(inputs, options, "submit")
        from s3mr.remote.job_home import open_to_submit
        from s3mr.remote.stack_submission import submit

        return submit(self, code, given, options, open_to_submit(options.stack)).spec.job_id

    def _located(self, inputs: Inputs, options: RunOptions, where: Where) -> "tuple[Code, list[str]]":
        """Return where the job's code is, and its inputs.

        Raises:
            RequestError: the module is being imported, or an option does not apply to the method.
        """
        if is_importing():
            raise RequestError(
                "run() or submit() was called while the job's module is being imported: put the call under "
                'if __name__ == "__main__":'
            )
        options.check_applies(where)
        from s3mr.usercode.location import locate

        given = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
        return locate(self), [os.fspath(one) for one in given]


def _check_arity(name: str, function: object, arguments: str) -> None:
    if function is None and name != "map":
        return
    if not callable(function):
        raise RequestError(f"Job({name}=) must be a function of {arguments}, not {type(function).__name__}")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have no signature
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        called = getattr(function, "__name__", name)
        raise RequestError(
            f"{name} is called with {arguments}, but {called}{signature} does not accept it: {error}"
        ) from None
