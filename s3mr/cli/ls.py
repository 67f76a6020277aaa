"""``s3mr ls``: list the newest jobs."""

import time
from typing import TYPE_CHECKING

import click

from s3mr.cli.options import Place, json_option, place_option
from s3mr.cli.streams import say, say_json
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from s3mr.remote.job_status import JobStatus

LS_COUNT = 20
LS_COUNT_MAX = 1_000


@click.command()
@click.option("--count", type=int, default=LS_COUNT, metavar="N", show_default=True, help="How many jobs to list.")
@place_option
@json_option
def ls(*, count: int, place: Place, as_json: bool) -> None:
    """List the newest jobs, newest first.

    \b
    s3mr ls --stack s3mr
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.job_status import newest

    if not 1 <= count <= LS_COUNT_MAX:
        raise RequestError(f"--count must be from 1 to {LS_COUNT_MAX}, not {count}")
    jobs = newest(place.open(), count)
    if as_json:
        say_json(f'{{"jobs":[{",".join(job.model_dump_json() for job in jobs)}]}}')
    elif jobs:
        say(_listed(jobs, now=time.time()))
    else:
        say("no jobs yet", err=True)


def _listed(jobs: "list[JobStatus]", *, now: float) -> str:
    from s3mr.cli.tables import table
    from s3mr.quantities import format_duration

    rows = []
    for job in jobs:
        done, tasks = sum(one.done for one in job.tasks), sum(one.tasks for one in job.tasks)
        took_s = (now if job.ended_at is None else job.ended_at) - job.created_at
        age = format_duration(now - job.created_at)
        rows.append((job.job_id, str(job.phase), f"{done:,}/{tasks:,}", age, format_duration(took_s), job.output))
    return table(("job", "phase", " tasks", " age", " took", "output"), rows)
