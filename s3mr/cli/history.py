"""``s3mr history``: list the attempts of a task and their outcomes."""

from typing import TYPE_CHECKING

import click

from s3mr.cli.options import Place, job_id_argument, json_option, place_option
from s3mr.cli.streams import say, say_json

if TYPE_CHECKING:
    from s3mr.remote.task_history import TaskHistory


@click.command()
@job_id_argument
@click.argument("task", metavar="TASK")
@place_option
@json_option
def history(job_id: str, task: str, *, place: Place, as_json: bool) -> None:
    """List the attempts of a task and their outcomes.

    Shows which attempt won, and which are running, failed or were ignored, and why. TASK is, for example, map/3 or
    reduce/0.

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
        say(f"{phase}/{number} has not started yet", err=True)


def _history(found: "TaskHistory") -> str:
    from s3mr.cli.tables import table, time_of_day
    from s3mr.quantities import format_duration

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
    header = ["attempt", "verdict", "worker", "started", "reported", " took", "why"]
    kept = [index for index in range(len(header)) if index < 2 or any(row[index] for row in rows)]
    return table([header[index] for index in kept], [[row[index] for index in kept] for row in rows])
