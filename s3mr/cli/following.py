"""``s3mr status``, ``watch`` and ``ls``: where jobs stand."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from s3mr.cli.options import (
    Place,
    job_id_argument,
    json_option,
    keep_intermediate_option,
    place_option,
    quiet_option,
)
from s3mr.cli.streams import data_stream, say, say_json
from s3mr.cli.waiting import tell, wait_there
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from s3mr.remote.job_status import JobStatus

LS_COUNT = 20
LS_COUNT_MAX = 1_000


@click.command()
@job_id_argument
@place_option
@json_option
def status(job_id: str, *, place: Place, as_json: bool) -> None:
    """Say where a job stands, whether a coordinator runs for it, and why it failed.

    \b
    s3mr status 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.job_status import status_of

    home = place.open()
    found = status_of(home, job_id)
    if as_json:
        say_json(found.model_dump_json())
    else:
        say(_status(found, home.option, now=time.time()))


@click.command()
@job_id_argument
@keep_intermediate_option
@place_option
@json_option
@quiet_option
def watch(job_id: str, *, place: Place, keep_intermediate: Path | None, as_json: bool, quiet: bool) -> None:
    """Follow a job until it has ended.

    One that has lost its coordinator gets another. It exits as s3mr run would; with 75 where the job is out of sight
    (no network, expired credentials) and goes on. Ctrl-C ends the watching, not the job.

    \b
    s3mr watch 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.job_home import job_in

    home = place.open()
    with data_stream() as data:
        result = wait_there(home, job_in(home, job_id), keep_intermediate=keep_intermediate, quiet=quiet)
        tell(result, data, output=result.output, as_json=as_json, quiet=quiet)


@click.command()
@click.option("--count", type=int, default=LS_COUNT, metavar="N", show_default=True, help="How many, the newest first.")
@place_option
@json_option
def ls(*, count: int, place: Place, as_json: bool) -> None:
    """List the newest jobs.

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


def _status(job: "JobStatus", option: str, *, now: float) -> str:
    from s3mr.cli.tables import fields, many, moment
    from s3mr.model.durations import format_duration
    from s3mr.model.sizes import format_size

    ending = " (its end was asked for)" if job.cancel_requested and not job.phase.terminal else ""
    since = "" if job.phase.terminal else f", {format_duration(now - job.phase_started_at)} in this phase"
    pairs = [("job", job.job_id), ("phase", f"{job.phase}{ending}")]
    if job.coordinator is not None:
        none = f"none runs: s3mr watch {job.job_id} {option} starts another one"
        pairs.append(("coordinator", "runs" if job.coordinator else none))
    for counts in job.tasks:
        running = f", {job.running:,} running" if counts.phase is job.phase else ""
        pairs.append((str(counts.phase), f"{counts.done:,} of {counts.tasks:,} done{running}"))
    pairs += [
        ("attempts", f"{job.attempts:,}, {job.retried:,} retried, {many(job.ignored, 'duplicate')} ignored"),
        ("input", f"{format_size(job.input_bytes)} in {many(job.input_objects, 'object')}"),
        ("output", job.output),
        ("begun", f"{moment(job.created_at)}, {format_duration(now - job.created_at)} ago{since}"),
    ]
    if job.ended_at is None:
        pairs.append(("deadline", f"{moment(job.deadline_at)}, in {format_duration(job.deadline_at - now)}"))
    else:
        pairs.append(("ended", f"{moment(job.ended_at)}, after {format_duration(job.ended_at - job.created_at)}"))
    if job.resumed_from:
        pairs.append(("resumes", job.resumed_from))
    return fields(pairs) + (f"\n\n{job.failure.story()}" if job.failure else "")


def _listed(jobs: "list[JobStatus]", *, now: float) -> str:
    from s3mr.cli.tables import table
    from s3mr.model.durations import format_duration

    rows = []
    for job in jobs:
        done, tasks = sum(one.done for one in job.tasks), sum(one.tasks for one in job.tasks)
        took_s = (now if job.ended_at is None else job.ended_at) - job.created_at
        age = format_duration(now - job.created_at)
        rows.append((job.job_id, str(job.phase), f"{done:,}/{tasks:,}", age, format_duration(took_s), job.output))
    return table(("job", "phase", " tasks", " age", " took", "output"), rows)
