"""``s3mr clean``: delete everything a job left behind, except its output."""

import json

import click

from s3mr.cli.options import Place, job_id_argument, json_option, place_option
from s3mr.cli.streams import say, say_json


@click.command()
@job_id_argument
@place_option
@json_option
def clean(job_id: str, *, place: Place, as_json: bool) -> None:
    """Delete everything a job left behind, except its output.

    This deletes its code, plan, intermediate objects and record. The job must have ended.

    \b
    s3mr clean 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.job_end import clean as clean_job

    clean_job(place.open(), job_id)
    if as_json:
        say_json(json.dumps({"job_id": job_id, "cleaned": True}))
    else:
        say(f"deleted job {job_id}; its output remains", err=True)
