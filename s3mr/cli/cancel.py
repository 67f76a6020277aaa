"""``s3mr cancel``: cancel a job."""

import json

import click

from s3mr.cli.options import Place, job_id_argument, json_option, place_option
from s3mr.cli.streams import say, say_json
from s3mr.errors import S3mrError


@click.command()
@job_id_argument
@place_option
@json_option
def cancel(job_id: str, *, place: Place, as_json: bool) -> None:
    """Cancel a job.

    The job writes no output, unless it is already committing it.

    \b
    s3mr cancel 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.job_end import Answer
    from s3mr.remote.job_end import cancel as cancel_job

    home = place.open()
    answer = cancel_job(home, job_id)
    if as_json:
        say_json(json.dumps({"job_id": job_id, "answer": answer}))
    if answer is Answer.TOO_LATE:
        raise S3mrError(f"too late: the output of job {job_id} is committed")
    messages = {
        Answer.ASKED: f"cancelling job {job_id}: it ends within seconds (see s3mr status {job_id} {home.option})",
        Answer.CANCELLED: f"job {job_id} is cancelled",
        Answer.FAILED: f"job {job_id} had already failed",
    }
    if not as_json:
        say(messages[answer], err=True)
