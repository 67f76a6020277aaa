"""``s3mr resume``: run the rest of a job that did not succeed."""

from contextlib import closing
from dataclasses import replace
from os import fspath
from typing import TYPE_CHECKING, BinaryIO

import click

from s3mr.cli.job_view import announcement, job_view, tell, wait_there
from s3mr.cli.options import Place, job_id_argument, json_option, place_option, quiet_option, resume_options
from s3mr.cli.run import refuse_chaos_on_stack
from s3mr.cli.streams import data_stream, say
from s3mr.cli.submit import print_id
from s3mr.errors import RequestError
from s3mr.options import RunOptions

if TYPE_CHECKING:
    from s3mr.model.job import JobState
    from s3mr.model.result import JobResult
    from s3mr.remote.job_home import Deployment


@click.command()
@job_id_argument
@resume_options
@click.option("--detach", is_flag=True, help="On a stack, print the id of the continuing job, and do not wait.")
@place_option
@json_option
@quiet_option
def resume(job_id: str, *, options: RunOptions, detach: bool, place: Place, as_json: bool, quiet: bool) -> None:
    """Run the rest of a job that did not succeed.

    Use it after a job failed, was cancelled, or lost its workers. It reuses finished map tasks if their results still
    exist. Inputs must not have changed.

    \b
    s3mr resume 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    if detach and place.stack is None:
        raise RequestError("--detach needs --stack: at an endpoint, the workers run in this command")
    if options.workers is not None and place.stack is not None:
        raise RequestError("--workers is for workers on this machine: on a stack, a resumed job uses as many as before")
    refuse_chaos_on_stack(options.chaos, place)
    with data_stream() as data:
        if place.stack is not None:
            home, job = _resume_there(place.stack, job_id, options, quiet=quiet or detach)
            if detach:
                print_id(job, data, as_json=as_json)
                return
            result = wait_there(home, job, quiet=quiet)
        else:
            result = _resume_here(place, job_id, options, data, quiet=quiet)
        tell(result, data, output=result.output, as_json=as_json, quiet=quiet)


def _resume_here(place: Place, job_id: str, options: RunOptions, data: BinaryIO, *, quiet: bool) -> "JobResult":
    place.open()  # raises an error that names the missing option
    from s3mr.local.reaper import start_reaper
    from s3mr.processes.process_start import without_collections

    with closing(start_reaper(place.endpoint_url)) as reaper:
        with without_collections():
            from s3mr.local.local_job import resume_local

        reaper.prepare_workers()
        options = replace(options, endpoint_url=place.endpoint_url)
        with job_view(data, endpoint_url=place.endpoint_url, quiet=quiet) as view:
            return resume_local(job_id, options, view=view, reaper=reaper)


def _resume_there(stack: str, job_id: str, options: RunOptions, *, quiet: bool) -> "tuple[Deployment, JobState]":
    from s3mr.remote.job_home import open_to_submit
    from s3mr.remote.stack_resume import resume as resume_at

    home = open_to_submit(stack)
    output = None if options.output is None else fspath(options.output)
    job = resume_at(home, job_id, output=output)
    if not quiet:
        say(announcement(job.spec.job_id, home.option), err=True)
    return home, job
