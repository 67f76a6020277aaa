"""``s3mr submit``: start a job on a stack without waiting for it."""

import json
from typing import TYPE_CHECKING, BinaryIO

import click

from s3mr.cli.import_exit import keep_from_leaving
from s3mr.cli.job_view import announcement
from s3mr.cli.options import Asked, Place, job_options, json_option, place_option, quiet_option
from s3mr.cli.streams import data_stream, print_line, say
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from s3mr.model.job import JobState
    from s3mr.remote.job_home import Deployment


@click.command()
@job_options("submit")
@place_option
@json_option
@quiet_option
def submit(asked: Asked, *, place: Place, as_json: bool, quiet: bool) -> None:
    """Start JOB over INPUT on a stack, and print its id.

    \b
    s3mr submit wordcount.py s3://logs/2026/ --output s3://results/words/ --stack s3mr
    """  # noqa: D301 - click reads the backspace
    if place.stack is None:
        raise RequestError("submit needs --stack NAME: at an endpoint, workers run only while s3mr run does")
    if asked.options.output is None:
        raise RequestError("submit needs --output: name s3://bucket/prefix")
    with data_stream() as data:
        _home, job = submit_to_stack(asked, place.stack, quiet=quiet, announced=False)
        print_id(job, data, as_json=as_json)


def submit_to_stack(asked: Asked, stack: str, *, quiet: bool, announced: bool = True) -> "tuple[Deployment, JobState]":
    """Submit the job. If ``announced``, print how to find it again if this command dies."""
    from s3mr.cli.jobs import find_job
    from s3mr.remote.job_home import open_to_submit
    from s3mr.remote.stack_submission import submit as submit_job

    keep_from_leaving(asked.job)
    found, code = find_job(asked.job, asked.options.params)
    home = open_to_submit(stack)
    if asked.options.requirements and not quiet:
        say(f"resolving {asked.options.requirements} for {home.description.runtime}", err=True)
    job = submit_job(found, code, asked.inputs, asked.options, home)
    if announced and not quiet:
        say(announcement(job.spec.job_id, home.option), err=True)
    return home, job


def print_id(job: "JobState", data: BinaryIO, *, as_json: bool) -> None:
    """Print the id of a job that does not run in this command."""
    job_id = job.spec.job_id
    print_line(json.dumps({"job_id": job_id}) if as_json else job_id, data)
