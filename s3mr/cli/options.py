"""Options of the command line. Job options are derived from their declarations in `s3mr.options`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource

from s3mr.errors import RequestError
from s3mr.options import Option, RunOptions, Where, declared, default_of, flag_of, types_of

if TYPE_CHECKING:
    from s3mr.remote.job_home import JobHome

Command = Callable[..., object]
Decorator = Callable[[Command], Command]

STACK_VARIABLE = "S3MR_STACK"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress and no summary.")
keep_intermediate_option = click.option(
    "--keep-intermediate",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy the plan and the intermediate objects to this folder.",
)
job_id_argument = click.argument("job_id", metavar="ID")

_ENDPOINT = click.option(
    "--endpoint-url",
    metavar="URL",
    help="Keep job state in the S3 and DynamoDB services at URL; run workers on this machine.",
)
_PLACE = (
    click.option(
        "--stack",
        metavar="NAME",
        envvar=STACK_VARIABLE,
        help=f"Name of the CloudFormation stack on AWS.  [default: ${STACK_VARIABLE}]",
    ),
    _ENDPOINT,
)
# An environment variable must not turn a command that runs on this machine into one that costs money.
_PLACE_TO_RUN = (
    click.option("--stack", metavar="NAME", help="Run on AWS, on the CloudFormation stack NAME."),
    _ENDPOINT,
)
_JOB = (
    click.argument("job"),
    click.argument("inputs", metavar="INPUT...", nargs=-1, required=True),
)
_RESUMED: Mapping[str, str | None] = {  # options of a resumed job, and their defaults
    "output": "the original output",
    "workers": "one per core; on a stack, as many as the job had",
    "chaos": None,
}

_EXAMINED = ("requester_pays", "deadline")


@dataclass(frozen=True)
class Asked:
    """A job, its inputs and its options, as typed."""

    job: str
    inputs: tuple[str, ...]
    options: RunOptions


@dataclass(frozen=True)
class Place:
    """Where jobs are, as typed: a stack, an endpoint, or neither, for a job that ends with this command."""

    stack: str | None
    endpoint_url: str | None

    def open(self) -> "JobHome":
        """Return the place.

        Raises:
            RequestError: neither was typed, or the place does not exist.
        """
        from s3mr.remote import job_home

        if self.endpoint_url is not None:
            return job_home.open_services(self.endpoint_url)
        if self.stack is not None:
            return job_home.open_deployment(self.stack)
        raise RequestError(f"no place is named: add --stack NAME (or set {STACK_VARIABLE}), or --endpoint-url URL")


def job_options(where: Where) -> Decorator:
    """Give a command JOB, INPUT... and all options that apply ``where``, as one argument ``asked``."""
    options = {name: one for name, one in declared(RunOptions).items() if where in one[1].where}
    options = {"output": options.pop("output"), **options}  # the most used option comes first

    def decorated(command: Command) -> Command:
        @wraps(command)
        def collecting(*, job: str, inputs: tuple[str, ...], **given: Any) -> object:  # noqa: ANN401 - click's values
            return command(asked=Asked(job, inputs, _collected(options, given)), **given)

        return _with((*_JOB, *(_click_option(name, *one) for name, one in options.items())), collecting)

    return decorated


def resume_options(command: Command) -> Command:
    """Give a command the options that a resumed job may change, as one argument ``options``."""
    known = declared(RunOptions)
    changed = {name: (known[name][0], replace(known[name][1], default=default)) for name, default in _RESUMED.items()}
    return _with_options(changed, command)


def doctor_options(command: Command) -> Command:
    """Give a command the job options that decide whether a job can be submitted, as one argument ``options``."""
    return _with_options({name: declared(RunOptions)[name] for name in _EXAMINED}, command)


def place_option(command: Command) -> Command:
    """Give a command --stack and --endpoint-url, as one argument ``place``."""
    return _with(_PLACE, _placed(command))


def place_to_run_option(command: Command) -> Command:
    """Give the same to a command that runs on this machine if neither is typed."""
    return _with(_PLACE_TO_RUN, _placed(command))


def _with_options(options: Mapping[str, tuple[Field[Any], Option]], command: Command) -> Command:
    @wraps(command)
    def collecting(**given: Any) -> object:  # noqa: ANN401 - click's values
        return command(options=_collected(options, given), **given)

    return _with(tuple(_click_option(name, *one) for name, one in options.items()), collecting)


def _click_option(name: str, one: Field[Any], about: Option) -> Decorator:
    """Return click's option for a declared one. It has no default in click: `RunOptions` supplies it."""
    kind = types_of(one)[0]
    shown = about.default or (None if kind is bool or not default_of(one) else str(default_of(one)))
    text = f"{about.help}  [default: {shown}]" if shown else about.help
    more: dict[str, Any] = {"help": text, "metavar": about.metavar}
    if kind is bool:
        more |= {"is_flag": True}
    elif get_origin(kind) is Literal:
        more |= {"type": click.Choice(get_args(kind))}
    elif get_origin(kind) in (Mapping, Sequence):
        more |= {"multiple": True}
    elif about.parse is None and kind in (int, float):
        more |= {"type": kind}
    return click.option(flag_of(name, about), name, **more)


def _collected(options: Mapping[str, tuple[Field[Any], Option]], given: dict[str, Any]) -> RunOptions:
    """Take the options out of ``given``; those that were not typed keep their defaults."""
    typed = {name: given.pop(name) for name in options}
    if pairs := typed.get("params"):
        typed["params"] = dict(_parameter(one) for one in pairs)
    return RunOptions(**{name: value for name, value in typed.items() if value not in (None, ())})


def _placed(command: Command) -> Command:
    @wraps(command)
    def placing(*, stack: str | None, endpoint_url: str | None, **given: Any) -> object:  # noqa: ANN401 - click's values
        if stack and endpoint_url:
            source = click.get_current_context().get_parameter_source("stack")
            if source is not ParameterSource.ENVIRONMENT:
                raise RequestError("--stack and --endpoint-url exclude each other: use one of them")
            stack = None
        return command(place=Place(stack or None, endpoint_url or None), **given)

    return placing


def _with(options: tuple[Decorator, ...], command: Command) -> Command:
    for one in reversed(options):
        command = one(command)
    return command


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise RequestError(f"--param {text}: write NAME=VALUE")
    return name, value
