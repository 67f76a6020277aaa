"""``s3mr status``: show the state of a job."""

import time
from typing import TYPE_CHECKING

import click

from s3mr.cli.options import Place, job_id_argument, json_option, place_option
from s3mr.cli.streams import say, say_json

if TYPE_CHECKING:
    from s3mr.remote.job_status import JobStatus


@click.command()
@job_id_argument
@place_option
@json_option
def status(job_id: str, *, place: Place, as_json: bool) -> None:
    """Show a job's progress, whether a coordinator runs for it, and why it failed.

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


def _status(job: "JobStatus", option: str, *, now: float) -> str:
    from s3mr.cli.tables import fields, many, moment
    from s3mr.quantities import format_duration, format_size

    ending = " (cancelling)" if job.cancel_requested and not job.phase.terminal else ""
    since = "" if job.phase.terminal else f", {format_duration(now - job.phase_started_at)} in this phase"
    pairs = [("job", job.job_id), ("phase", f"{job.phase}{ending}")]
    if job.coordinator is not None:
        none = f"not running: start one with s3mr watch {job.job_id} {option}"
        pairs.append(("coordinator", "running" if job.coordinator else none))
    for counts in job.tasks:
        running = f", {job.running:,} running" if counts.phase is job.phase else ""
        pairs.append((str(counts.phase), f"{counts.done:,} of {counts.tasks:,} done{running}"))
    pairs += [
        ("attempts", f"{job.attempts:,}, {job.retried:,} retried, {many(job.ignored, 'duplicate')} ignored"),
        ("input", f"{format_size(job.input_bytes)} in {many(job.input_objects, 'object')}"),
        ("output", job.output),
        ("started", f"{moment(job.created_at)}, {format_duration(now - job.created_at)} ago{since}"),
    ]
    if job.ended_at is None:
        pairs.append(("deadline", f"{moment(job.deadline_at)}, in {format_duration(job.deadline_at - now)}"))
    else:
        pairs.append(("ended", f"{moment(job.ended_at)}, after {format_duration(job.ended_at - job.created_at)}"))
    if job.resumed_from:
        pairs.append(("resumes", job.resumed_from))
    return fields(pairs) + (f"\n\n{job.failure.story()}" if job.failure else "")
