"""Options that several commands share, each declared once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from s3mr import limits
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from s3mr.options import Options
    from s3mr.remote.job_home import JobHome

Command = Callable[..., object]
Decorator = Callable[[Command], Command]

STACK_VARIABLE = "S3MR_STACK"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
quiet_option = click.option("--quiet", is_flag=True, help="No progress and no summary.")
keep_intermediate_option = click.option(
    "--keep-intermediate",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy plan and intermediate objects there.",
)
job_id_argument = click.argument("job_id", metavar="ID")

_ENDPOINT = click.option(
    "--endpoint-url", metavar="URL", help="S3 and DynamoDB that live on, in place of a stack; with workers here."
)
_PLACE = (
    click.option(
        "--stack",
        metavar="NAME",
        envvar=STACK_VARIABLE,
        help=f"The stack on AWS, by its name in CloudFormation.  [default: ${STACK_VARIABLE}]",
    ),
    _ENDPOINT,
)
_PLACE_TO_RUN = (  # a variable must not make a command that runs here one that costs money
    click.option("--stack", metavar="NAME", help="Run on AWS, on the stack of this name; it goes on by itself."),
    _ENDPOINT,
)
_JOB = (
    click.argument("job"),
    click.argument("inputs", metavar="INPUT...", nargs=-1, required=True),
)
_ASKED = (
    click.option(
        "--output", metavar="URI", help="A new or empty folder, or s3://bucket/prefix.  [default: standard output]"
    ),
    click.option(
        "--reducers",
        type=int,
        metavar="N",
        help="How many parts the output has.  [default: 2 a worker; on a stack, one for 256MiB of input]",
    ),
    click.option(
        "--workers",
        type=int,
        metavar="N",
        help="How many workers run at once.  [default: one a core; on a stack, as many as it has]",
    ),
    click.option(
        "--split-size",
        metavar="SIZE",
        show_default="at most 64MiB",
        help="How much input a map task reads.",
    ),
    click.option(
        "--layout",
        type=click.Choice(["auto", "split", "packed"]),
        default="auto",
        show_default=True,
        help="How intermediate objects are laid out: one a map task and reducer, or one a map task.",
    ),
    click.option(
        "--input-format",
        metavar="text|block|whole",
        help="A record is a line, a block of whole lines, or an entire object.  [default: as the job says, else text]",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        help="Memory for sorting and merging, a worker.  [default: 512MiB; what a stack's workers have room for]",
    ),
    click.option(
        "--attempts",
        type=int,
        default=limits.ATTEMPTS,
        metavar="N",
        show_default=True,
        help="How often a task is tried.",
    ),
    click.option(
        "--task-timeout",
        "task_timeout_s",
        type=float,
        metavar="S",
        help="Seconds after which a task is taken to hang.  [default: 900; on a stack, what its workers may take]",
    ),
    click.option(
        "--deadline",
        default="24h",
        metavar="DURATION",
        show_default=True,
        help="How long the whole job may take: seconds, or 30m, 12h, 6d.",
    ),
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="A parameter, in functions s3mr.params[NAME]. Repeatable.",
    ),
    click.option(
        "--include",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="A file or folder that the job's code needs, besides what it imports. Repeatable.",
    ),
    click.option(
        "--requirements",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Packages for the job's code, with --stack; workers here use what is installed here.",
    ),
    click.option("--requester-pays", is_flag=True, help="Read buckets for which whoever reads pays."),
)


_NAMES = (  # of these options, as fields of `Options`; the parameters are apart
    "output",
    "reducers",
    "workers",
    "split_size",
    "layout",
    "input_format",
    "memory",
    "attempts",
    "task_timeout_s",
    "deadline",
    "include",
    "requirements",
    "requester_pays",
)


@dataclass(frozen=True)
class Asked:
    """A job, its inputs and its options, as they were typed."""

    job: str
    inputs: tuple[str, ...]
    params: dict[str, str]
    options: dict[str, Any]

    @property
    def output(self) -> str | None:
        output: str | None = self.options["output"]
        return output

    def to_options(self, **more: Any) -> "Options":  # noqa: ANN401 - fields of Options
        """Return the options; ``more`` are those that only one command has."""
        from s3mr.options import Options

        return Options(**self.options, params=self.params, **more)


@dataclass(frozen=True)
class Place:
    """Where jobs live, as it was typed: on a stack, at an endpoint, or nowhere beyond this command."""

    stack: str | None
    endpoint_url: str | None

    def open(self) -> "JobHome":
        """Go there.

        Raises:
            RequestError: none was named, or there is nothing.
        """
        from s3mr.remote import job_home

        if self.endpoint_url is not None:
            return job_home.open_services(self.endpoint_url)
        if self.stack is not None:
            return job_home.open_deployment(self.stack)
        raise RequestError(f"say where: --stack NAME (or {STACK_VARIABLE}), or --endpoint-url URL")


def job_options(command: Command) -> Command:
    """Give a command JOB, INPUT... and what may be asked of a job, as one argument ``asked``."""

    @wraps(command)
    def collecting(*, job: str, inputs: tuple[str, ...], params: tuple[str, ...], **given: Any) -> object:  # noqa: ANN401 - click's values
        options = {name: given.pop(name) for name in _NAMES}
        asked = Asked(job, inputs, dict(_parameter(one) for one in params), options)
        return command(asked=asked, **given)

    return _with((*_JOB, *_ASKED), collecting)


def place_option(command: Command) -> Command:
    """Give a command --stack and --endpoint-url, as one argument ``place``."""
    return _with(_PLACE, _placed(command))


def place_to_run_option(command: Command) -> Command:
    """Likewise, for a command that runs here where neither is typed."""
    return _with(_PLACE_TO_RUN, _placed(command))


def _placed(command: Command) -> Command:
    @wraps(command)
    def placing(*, stack: str | None, endpoint_url: str | None, **given: Any) -> object:  # noqa: ANN401 - click's values
        if stack and endpoint_url:
            source = click.get_current_context().get_parameter_source("stack")
            if source is not ParameterSource.ENVIRONMENT:
                raise RequestError("--stack and --endpoint-url: name one of them")
            stack = None
        return command(place=Place(stack or None, endpoint_url or None), **given)

    return placing


def _with(declared: tuple[Decorator, ...], command: Command) -> Command:
    for one in reversed(declared):
        command = one(command)
    return command


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise RequestError(f"--param {text}: write NAME=VALUE")
    return name, value
