"""``s3mr logs``: print what user code printed on a stack."""

import json
from typing import TYPE_CHECKING, Any

import click

from s3mr.cli.options import Place, job_id_argument, place_option
from s3mr.cli.streams import say, say_json
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from s3mr.adapters.aws.function_logs import LogLine


@click.command()
@job_id_argument
@click.option("--task", metavar="TASK", help="Of one task alone: map/3, or 3 with --phase.")
@click.option("--phase", type=click.Choice(["map", "reduce"]), help="Of the tasks of one phase.")
@click.option("--all", "everything", is_flag=True, help="All that was logged, also by the coordinator.")
@click.option("--follow", is_flag=True, help="Wait for more, until the job has ended.")
@place_option
@click.option("--json", "as_json", is_flag=True, help="Print each line as the JSON object that it is.")
def logs(
    job_id: str, *, task: str | None, phase: str | None, everything: bool, follow: bool, place: Place, as_json: bool
) -> None:
    """Print what user code has printed, and what went wrong.

    \b
    s3mr logs 20260102-030405-0a1b2c3d --task map/3 --stack s3mr
    """  # noqa: D301 - click reads the backspace
    if place.endpoint_url is not None:
        raise RequestError("logs needs --stack: at an endpoint, user code prints where s3mr run was typed")
    from s3mr.adapters.aws.function_logs import About
    from s3mr.remote.job_home import open_deployment
    from s3mr.remote.job_logs import log_lines
    from s3mr.remote.task_history import parse_task

    number = None
    if task is not None:
        phase, number = parse_task(f"{phase}/{task}" if phase and task.isdecimal() else task)
    if place.stack is None:
        place.open()  # says what is missing
        return
    about = About(job_id=job_id, phase=phase, task=number)
    for line in log_lines(open_deployment(place.stack), about, everything=everything, follow=follow):
        if as_json:
            say_json(json.dumps(line.fields, ensure_ascii=False))
        else:
            say(_line(line))


def _line(line: "LogLine") -> str:
    """Return a line for a person: when, which task and attempt, and what."""
    from s3mr.cli.tables import time_of_day

    fields: dict[str, Any] = line.fields
    task = f"{fields['phase']}/{fields['task']}#{fields.get('attempt', '?')}" if "task" in fields else ""
    said = str(fields.get("message", ""))
    if fields.get("stream") != "user":
        failure = fields.get("failure")
        known = {name: fields[name] for name in ("verdict", "wait_s") if name in fields}
        told = "".join(f" {name}={value}" for name, value in known.items())
        why = f": {failure['message']}" if isinstance(failure, dict) and "message" in failure else ""
        said = f"[{said}{told}{why}]"
    if fields.get("level", "INFO") not in ("DEBUG", "INFO"):
        said = f"{fields['level']}: {said}"
    begin = f"{time_of_day(line.at)}  {task:<12}  "
    return begin + said.replace("\n", "\n" + " " * len(begin))  # what goes on looks like no line of its own
