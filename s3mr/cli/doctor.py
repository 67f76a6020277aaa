"""``s3mr doctor``: whether a job could be submitted, and what to do where it could not."""

import json
import sys
from typing import TYPE_CHECKING

import click

from s3mr import limits
from s3mr.cli.options import STACK_VARIABLE, json_option
from s3mr.cli.streams import say, say_json
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from s3mr.remote.checkup import Step

EXIT_POORLY = 1
_MARKS = {"ok": "✓", "failed": "✗", "skipped": "–"}
_NAME_WIDTH = 13


@click.command()
@click.option(
    "--stack",
    metavar="NAME",
    envvar=STACK_VARIABLE,
    help=f"The stack on AWS, by its name in CloudFormation.  [default: ${STACK_VARIABLE}]",
)
@click.option(
    "--input", "inputs", multiple=True, metavar="URI", help="An input that a job is to read, s3://… . Repeatable."
)
@click.option("--output", metavar="URI", help="An output that a job is to write, s3://… .")
@click.option("--requester-pays", is_flag=True, help="Read buckets for which whoever reads pays.")
@click.option(
    "--deadline", default="24h", metavar="DURATION", show_default=True, help="How long the whole job is to take."
)
@json_option
@click.pass_context
def doctor(
    context: click.Context,
    *,
    stack: str | None,
    inputs: tuple[str, ...],
    output: str | None,
    requester_pays: bool,
    deadline: str,
    as_json: bool,
) -> None:
    """Look whether a job could be submitted to a stack, before anything costs money.

    It checks credentials, the stack and its parts, quotas, and each right that submitting needs, and says what to do.
    It exits with 0 if all is well, and with 1 otherwise.

    \b
    s3mr doctor --stack s3mr --input s3://logs/2026/ --output s3://results/wc/
    """  # noqa: D301 - click reads the backspace
    from s3mr.quantities import parse_duration
    from s3mr.remote.checkup import Outcome, Question, examine

    if not stack:
        raise RequestError(f"say which stack: --stack NAME (or {STACK_VARIABLE})")
    deadline_s = parse_duration(deadline)
    if deadline_s > limits.DEADLINE_S_MAX:
        raise RequestError(f"--deadline {deadline}: at most {limits.DEADLINE_S_MAX / 86400:g}d")
    question = Question(stack=stack, inputs=inputs, output=output, requester_pays=requester_pays, deadline_s=deadline_s)
    steps = []
    for step in examine(question):
        steps.append(step)
        if not as_json:
            say(_shown(step))
    well = all(step.outcome is not Outcome.FAILED for step in steps)
    if as_json:
        say_json(json.dumps({"stack": stack, "well": well, "steps": [one.model_dump(mode="json") for one in steps]}))
    if not well:
        context.exit(EXIT_POORLY)


def _shown(step: "Step") -> str:
    advice = f"\n{'':{_NAME_WIDTH + 4}}→ {step.advice}" if step.advice else ""
    text = f"{_MARKS[step.outcome]} {step.name:<{_NAME_WIDTH}}  {step.found}{advice}"
    return text.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8")
