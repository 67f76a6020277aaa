"""``s3mr clean``: delete everything that a job has left, except its output."""

import json

import click

from s3mr.cli.options import Place, job_id_argument, json_option, place_option
from s3mr.cli.streams import say, say_json


@click.command()
@job_id_argument
@place_option
@json_option
def clean(job_id: str, *, place: Place, as_json: bool) -> None:
    """Delete all that a job has left but its output.

    That is its code, plan and intermediate objects, and all that is known of it. It must have ended.

    \b
    s3mr clean 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.job_end import clean as delete

    delete(place.open(), job_id)
    if as_json:
        say_json(json.dumps({"job_id": job_id, "cleaned": True}))
    else:
        say(f"job {job_id} is gone", err=True)
