"""Declare every option of a job once: its name, type, default, bounds, help, and where it applies.

Everything else is derived from these declarations: the options of the command line (`s3mr.cli.options`), the arguments
of `Job.run` and `Job.submit`, the request that a job's spec embeds, and the reference page. To add an option, declare
it here, and use ``spec.request.NAME`` or ``options.NAME``.

The module imports almost nothing, because the command line reads it for ``--help``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, Field, dataclass, field, fields
from functools import cache
from math import isfinite
from os import PathLike, fspath
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from s3mr import limits
from s3mr.errors import RequestError
from s3mr.quantities import format_size, parse_duration, parse_size

RequestedLayout = Literal["auto", "split", "packed"]
Where = Literal["run", "submit"]
EVERYWHERE: Final[tuple[Where, ...]] = ("run", "submit")
_KEY: Final = "option"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """The facts about an option that its field does not have. The field has its name, type and default value.

    ``default`` describes the default value if it depends on the place or the input. ``flag`` is the name on the
    command line if it is not the field's own. ``parse`` reads text such as ``64MiB``. A number must be at least
    ``at_least``, more than ``above`` and at most ``at_most``. ``where`` names the commands that accept the option.
    """

    help: str
    metavar: str | None = None
    default: str | None = None
    flag: str | None = None
    unit: str = ""
    parse: Callable[[str], float] | None = None
    at_least: int | None = None
    above: float | None = None
    at_most: float | None = None
    where: tuple[Where, ...] = EVERYWHERE


def option(value: Any, about: Option) -> Any:  # noqa: ANN401 - the field's annotation gives the type
    """Declare an option whose default is ``value``."""
    if isinstance(value, dict):
        return field(default_factory=dict, metadata={_KEY: about})
    return field(default=value, metadata={_KEY: about})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """The options that a user set for a job. None means the job's own value, or a default for the place and the input.

    A job's spec embeds it, next to the values that were decided at submit, such as the number of reducers.
    """

    # Read by pydantic, which this module does not import. With a limit, it refuses text that is not valid UTF-8.
    __pydantic_config__ = {"extra": "forbid", "str_max_length": limits.ITEM_BYTES_MAX}  # noqa: RUF012

    reducers: int | None = option(
        None,
        Option(
            metavar="N",
            help="Number of reduce tasks, and of output parts.",
            default=f"one per {format_size(limits.LOCAL_REDUCER_BYTES)} of input, from 1 to "
            f"{limits.LOCAL_REDUCERS_PER_WORKER} per worker; on a stack, one per {format_size(limits.REDUCER_BYTES)}, "
            f"at most {limits.REDUCERS_CHOSEN_MAX:,}",
            at_least=1,
            at_most=limits.REDUCERS_MAX,
        ),
    )
    workers: int | None = option(
        None,
        Option(
            metavar="N",
            help="Number of workers that run at the same time.",
            default="one per core; on a stack, as many as it has",
            at_least=1,
        ),
    )
    split_size: int | str | None = option(
        None,
        Option(
            metavar="SIZE",
            help="How much input one map task reads, such as 64MiB.",
            default=f"the same for every worker, at most {format_size(limits.SPLIT_SIZE_BYTES)}; on this machine "
            f"{format_size(limits.LOCAL_COMBINED_SPLIT_BYTES)} if the job combines",
            unit="bytes",
            parse=parse_size,
            at_least=1,
        ),
    )
    layout: RequestedLayout = option(
        "auto",
        Option(
            help="How intermediate objects are stored: one for each map task and reducer (split), or one for each map "
            "task (packed)."
        ),
    )
    input_format: str | None = option(
        None,
        Option(
            metavar="text|block|whole",
            help="What a record is: a line, a block of whole lines, or an entire object.",
            default="as the job says, otherwise text",
        ),
    )
    memory: int | str | None = option(
        None,
        Option(
            metavar="SIZE",
            help="Memory that one worker may use for sorting and merging.",
            default=f"{format_size(limits.MEMORY_BYTES)}; on a stack, what its workers have room for",
            unit="bytes",
            parse=parse_size,
            at_least=limits.MEMORY_BYTES_MIN,
        ),
    )
    attempts: int = option(
        limits.ATTEMPTS,
        Option(metavar="N", help="How often a task is tried.", at_least=1, at_most=limits.ATTEMPTS_MAX),
    )
    task_timeout_s: float | None = option(
        None,
        Option(
            flag="--task-timeout",
            metavar="SECONDS",
            help="How long one attempt of a task may run before it counts as hung.",
            unit="seconds",
            default=f"{limits.TASK_TIMEOUT_S:.0f}; on a stack, what its workers allow",
            above=0,
        ),
    )
    deadline: float | str = option(
        limits.DEADLINE_S,
        Option(
            metavar="DURATION",
            help="How long the whole job may run: seconds, or 30m, 12h, 6d.",
            default=f"{limits.DEADLINE_S / 3600:.0f}h",
            unit="seconds",
            parse=parse_duration,
            above=0,
            at_most=limits.DEADLINE_S_MAX,
        ),
    )
    params: Mapping[str, str] = option(
        {},
        Option(
            flag="--param",
            metavar="NAME=VALUE",
            help="A parameter that functions read as s3mr.params[NAME]. Repeatable.",
        ),
    )
    requester_pays: bool = option(
        False, Option(help="Read buckets whose owner lets the reader pay for requests and transfer.")
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class RunOptions(JobRequest):
    """All options of `Job.run`, `Job.submit` and the commands with the same names.

    The options declared here are used only before the job runs, so they are not in its spec. ``stack`` and
    ``endpoint_url`` say where it runs. If both are None, it runs on this machine alone.
    """

    output: str | PathLike[str] | None = option(
        None,
        Option(metavar="URI", help="A new or empty folder, or s3://bucket/prefix.", default="standard output"),
    )
    _: KW_ONLY
    include: Sequence[str | PathLike[str]] = option(
        (),
        Option(metavar="PATH", help="A file or folder that the job's code needs besides what it imports. Repeatable."),
    )
    requirements: str | PathLike[str] | None = option(
        None,
        Option(
            metavar="FILE",
            help="Packages that the job's code needs on a stack. Workers on this machine use what is installed here.",
        ),
    )
    keep_intermediate: str | PathLike[str] | None = option(
        None,
        Option(metavar="FOLDER", help="Copy the plan and the intermediate objects to this folder.", where=("run",)),
    )
    leave_intermediate: bool = option(
        False,
        Option(
            flag="--keep-intermediate",
            help="Leave the plan and the intermediate objects in the bucket; s3mr watch --keep-intermediate FOLDER "
            "copies them.",
            where=("submit",),
        ),
    )
    chaos: str = option(
        "",
        Option(
            metavar="crash=.3,stall=.3,dup=.3,seed=7",
            help="Test the job's fault tolerance: crash, hang and repeat executions at random. Not on a stack.",
            where=("run",),
        ),
    )
    stack: str | None = None
    endpoint_url: str | None = None

    def __post_init__(self) -> None:
        try:
            check(self)
        except ValueError as error:
            raise RequestError(str(error)) from None

    def check_applies(self, where: Where) -> None:
        """Check that every option that was set applies.

        Raises:
            RequestError: an option does not apply. The message names it.
        """
        for name, (one, about) in declared(RunOptions).items():
            if where not in about.where and getattr(self, name) != default_of(one):
                raise RequestError(f"{name}= does not apply to {where}()")

    @property
    def request(self) -> JobRequest:
        """The options that the job's spec embeds."""
        return JobRequest(**{one.name: getattr(self, one.name) for one in fields(JobRequest)})


def declared(kind: type[JobRequest]) -> dict[str, tuple[Field[Any], Option]]:
    """Return the options that ``kind`` declares, by field name, in order of declaration."""
    return {one.name: (one, one.metadata[_KEY]) for one in fields(kind) if _KEY in one.metadata}


def flag_of(name: str, about: Option) -> str:
    """Return the option's name on the command line."""
    return about.flag or "--" + name.replace("_", "-")


def default_of(one: Field[Any]) -> Any:  # noqa: ANN401 - any option's
    """Return the value of an option that was not set."""
    return one.default if one.default_factory is MISSING else one.default_factory()


def size_bytes(given: int | str) -> int:
    """Return a size in bytes. ``given`` is a number, or text such as ``"64MiB"``."""
    return parse_size(given) if isinstance(given, str) else given


def seconds(given: float | str) -> float:
    """Return a duration in seconds. ``given`` is a number, or text such as ``"12h"``."""
    return parse_duration(given) if isinstance(given, str) else given


def check_requirements(file: str | PathLike[str]) -> None:
    """Refuse a requirements file that does not exist, even if nothing will be installed from it."""
    if not Path(file).is_file():
        raise RequestError(f"--requirements {fspath(file)}: there is no such file")


def check(request: JobRequest) -> None:
    """Check every option against its declaration.

    Raises:
        ValueError: a value is not accepted. The message names the option, what it accepts, and the value.
    """
    for name, types, about in _typed(type(request)):  # type: ignore[arg-type] # a class can be hashed
        if wrong := _wrong(types, about, getattr(request, name)):
            raise ValueError(f"{flag_of(name, about)} {wrong}")


@cache
def _typed(kind: type[JobRequest]) -> list[tuple[str, tuple[Any, ...], Option]]:
    """Return what `check` needs for each option. It is cached, because every spec is checked when it is read."""
    return [(name, types_of(one), about) for name, (one, about) in declared(kind).items()]


def types_of(one: Field[Any]) -> tuple[Any, ...]:
    """Return the alternatives of a field's type."""
    return get_args(one.type) if get_origin(one.type) in (Union, UnionType) else (one.type,)


def _wrong(types: tuple[Any, ...], about: Option, value: object) -> str | None:
    """Return what is wrong with ``value``; None if it is valid."""
    kind, origin = types[0], get_origin(types[0])
    if value is None and type(None) in types:
        return None
    if origin is Mapping:
        return _wrong_mapping(value)
    if kind in (int, float):
        return _wrong_number(types, about, value)
    if origin is Literal:
        fits, accepted = value in get_args(kind), f"one of {', '.join(get_args(kind))}"
    elif origin is Sequence:
        fits, accepted = isinstance(value, Sequence) and not isinstance(value, str), "a list of paths"
    else:
        fits = isinstance(value, tuple(get_origin(one) or one for one in types))
        accepted = "true or false" if kind is bool else "text" if len(types) == 1 else "a path"
    return None if fits else f"must be {accepted}, not {value!r}"


def _wrong_mapping(value: object) -> str | None:
    if not isinstance(value, Mapping):
        return f"must map strings to strings, not be {value!r}"
    wrong = [one for pair in value.items() for one in pair if not isinstance(one, str)]
    return f"must map strings to strings; {wrong[0]!r} is not a string" if wrong else None


def _wrong_number(types: tuple[Any, ...], about: Option, given: object) -> str | None:
    value = given
    if isinstance(given, str) and about.parse is not None:
        try:
            value = about.parse(given)
        except RequestError as error:
            return f"is {error}"
    whole = float not in types
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if is_number and isinstance(value, int if whole else int | float) and _within(about, value):
        return None
    return f"must be {_range(about, whole=whole)}, not {given!r}"


def _within(about: Option, value: float) -> bool:
    return (
        (about.at_least is None or value >= about.at_least)
        and (about.above is None or value > about.above)
        and (about.at_most is None or value <= about.at_most)
    )


def _range(about: Option, *, whole: bool) -> str:
    of_unit = f" of {about.unit}" if about.unit else ""
    kind = f"a {'positive ' if about.above == 0 else ''}{'whole ' if whole else ''}number{of_unit}"
    if about.at_least is not None and about.at_most is not None:
        return f"{kind} from {_shown(about, about.at_least)} to {_shown(about, about.at_most)}"
    least = "" if about.at_least is None else f", at least {_shown(about, about.at_least)}"
    return kind + least + ("" if about.at_most is None else f", at most {_shown(about, about.at_most)}")


def _shown(about: Option, bound: float) -> str:
    return format_size(int(bound)) if about.unit == "bytes" else f"{bound:,.0f}"
