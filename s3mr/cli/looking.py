"""``s3mr history`` and ``s3mr logs``: what became of a task's attempts, and what was printed."""

import json
from typing import TYPE_CHECKING, Any

import click

from s3mr.cli.options import Place, job_id_argument, json_option, place_option
from s3mr.cli.streams import say, say_json
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from s3mr.adapters.aws.function_logs import LogLine
    from s3mr.remote.task_history import TaskHistory


@click.command()
@job_id_argument
@click.argument("task", metavar="TASK")
@place_option
@json_option
def history(job_id: str, task: str, *, place: Place, as_json: bool) -> None:
    """Say what became of the attempts of a task.

    Which won, which run, failed or were ignored, and why. TASK is map/3 or reduce/0.

    \b
    s3mr history 20260102-030405-0a1b2c3d map/3 --stack s3mr
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.task_history import history as history_of
    from s3mr.remote.task_history import parse_task

    phase, number = parse_task(task)
    found = history_of(place.open(), job_id, phase=phase, task=number)
    if as_json:
        say_json(found.model_dump_json())
    elif found.executions:
        say(_history(found))
    else:
        say(f"{phase}/{number} was not begun yet", err=True)


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


def _history(found: "TaskHistory") -> str:
    from s3mr.cli.tables import table, time_of_day
    from s3mr.model.durations import format_duration

    rows = [
        (
            str(one.attempt) + (" backup" if one.backup else ""),
            one.verdict,
            one.worker or "",
            time_of_day(one.launched_at),
            time_of_day(one.reported_at),
            "" if one.duration_s is None else format_duration(one.duration_s),
            one.failure.message.partition("\n")[0] if one.failure else "",
        )
        for one in found.executions
    ]
    header = ["attempt", "verdict", "worker", "begun", "reported", " took", "why"]
    kept = [index for index in range(len(header)) if index < 2 or any(row[index] for row in rows)]
    return table([header[index] for index in kept], [[row[index] for index in kept] for row in rows])


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
