"""``s3mr logs``: print the output and errors of user code on a stack."""

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
@click.option("--task", metavar="TASK", help="Show only this task: map/3, or 3 with --phase.")
@click.option("--phase", type=click.Choice(["map", "reduce"]), help="Show only the tasks of this phase.")
@click.option("--all", "everything", is_flag=True, help="Show every log line, including the coordinator's.")
@click.option("--follow", is_flag=True, help="Wait for more lines until the job ends.")
@place_option
@click.option("--json", "as_json", is_flag=True, help="Print each line as its original JSON object.")
def logs(
    job_id: str, *, task: str | None, phase: str | None, everything: bool, follow: bool, place: Place, as_json: bool
) -> None:
    """Print the output and errors of user code.

    \b
    s3mr logs 20260102-030405-0a1b2c3d --task map/3 --stack s3mr
    """  # noqa: D301 - click reads the backspace
    if place.endpoint_url is not None:
        raise RequestError("logs needs --stack: at an endpoint, user code prints to the terminal of s3mr run")
    from s3mr.adapters.aws.function_logs import About
    from s3mr.remote.job_home import open_deployment
    from s3mr.remote.job_logs import log_lines
    from s3mr.remote.task_history import parse_task

    number = None
    if task is not None:
        phase, number = parse_task(f"{phase}/{task}" if phase and task.isdecimal() else task)
    if place.stack is None:
        place.open()  # raises an error that names the missing option
        return
    about = About(job_id=job_id, phase=phase, task=number)
    for line in log_lines(open_deployment(place.stack), about, everything=everything, follow=follow):
        if as_json:
            say_json(json.dumps(line.fields, ensure_ascii=False))
        else:
            say(_line(line))


def _line(line: "LogLine") -> str:
    """Format a line for a person: the time, the task and attempt, and the message."""
    from s3mr.cli.tables import time_of_day

    fields: dict[str, Any] = line.fields
    task = f"{fields['phase']}/{fields['task']}#{fields.get('attempt', '?')}" if "task" in fields else ""
    message = str(fields.get("message", ""))
    if fields.get("stream") != "user":
        failure = fields.get("failure")
        known = {name: fields[name] for name in ("verdict", "wait_s") if name in fields}
        details = "".join(f" {name}={value}" for name, value in known.items())
        why = f": {failure['message']}" if isinstance(failure, dict) and "message" in failure else ""
        message = f"[{message}{details}{why}]"
    if fields.get("level", "INFO") not in ("DEBUG", "INFO"):
        message = f"{fields['level']}: {message}"
    begin = f"{time_of_day(line.at)}  {task:<12}  "
    return begin + message.replace("\n", "\n" + " " * len(begin))  # indented, so it cannot pass for a new log line
