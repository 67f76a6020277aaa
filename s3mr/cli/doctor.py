"""``s3mr doctor``: check that you can submit a job, and say what to fix if you cannot."""

import json
import sys
from typing import TYPE_CHECKING

import click

from s3mr.cli.options import STACK_VARIABLE, doctor_options, json_option
from s3mr.cli.streams import say, say_json
from s3mr.errors import RequestError
from s3mr.options import RunOptions, seconds

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
    help=f"Name of the CloudFormation stack on AWS.  [default: ${STACK_VARIABLE}]",
)
@click.option("--input", "inputs", multiple=True, metavar="URI", help="An input to check, s3://… . Repeatable.")
@click.option("--output", metavar="URI", help="An output location to check, s3://… .")
@doctor_options
@json_option
@click.pass_context
def doctor(
    context: click.Context,
    *,
    stack: str | None,
    inputs: tuple[str, ...],
    output: str | None,
    options: RunOptions,
    as_json: bool,
) -> None:
    """Check that you can submit a job to a stack, before anything costs money.

    Checks your credentials, the stack and its resources, the quotas, and every permission that submitting needs, and
    says how to fix what fails. Exits with 0 if every check passes, else with 1.

    \b
    s3mr doctor --stack s3mr --input s3://logs/2026/ --output s3://results/wc/
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.checkup import Outcome, Question, examine

    if not stack:
        raise RequestError(f"no stack is named: add --stack NAME, or set {STACK_VARIABLE}")
    question = Question(
        stack=stack,
        inputs=inputs,
        output=output,
        requester_pays=options.requester_pays,
        deadline_s=seconds(options.deadline),
    )
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
