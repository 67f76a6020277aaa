"""``s3mr run``: run a job on this machine, or on a stack and wait for it."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from s3mr.cli.import_exit import keep_from_leaving
from s3mr.cli.job_view import job_view, tell, wait_there
from s3mr.cli.options import Asked, Place, job_options, json_option, place_to_run_option, quiet_option
from s3mr.cli.streams import data_stream, say
from s3mr.cli.submit import submit_to_stack
from s3mr.errors import RequestError

if TYPE_CHECKING:
    from s3mr.model.result import JobResult


@click.command()
@job_options("run")
@place_to_run_option
@json_option
@quiet_option
def run(asked: Asked, *, place: Place, as_json: bool, quiet: bool) -> None:
    """Run JOB over INPUT.

    JOB is FILE.py, FILE.py:NAME or package.module:NAME. INPUT is a file, a folder, a glob or an s3:// prefix.

    \b
    s3mr run wordcount.py books/*.txt
    s3mr run wordcount.py books/ --output out/
    s3mr run wordcount.py s3://logs/2026/ --output s3://results/words/ --stack s3mr
    """  # noqa: D301 - click reads the backspace
    options = replace(asked.options, stack=place.stack, endpoint_url=place.endpoint_url)
    if options.output is None and place.stack:
        raise RequestError("--stack needs --output: name s3://bucket/prefix")
    if options.output is None and as_json:
        raise RequestError("--json needs --output: standard output is for the result")
    refuse_chaos_on_stack(options.chaos, place)
    asked = replace(asked, options=options)
    with data_stream() as data:
        if place.stack:
            home, job = submit_to_stack(asked, place.stack, quiet=quiet)
            kept = None if options.keep_intermediate is None else Path(options.keep_intermediate)
            result = wait_there(home, job, keep_intermediate=kept, quiet=quiet)
        else:
            result = _run_here(asked, data, quiet=quiet)
        tell(result, data, output=options.output, as_json=as_json, quiet=quiet)


def refuse_chaos_on_stack(chaos: str, place: Place) -> None:
    """Refuse injected faults on AWS, where they would cost money."""
    if chaos and place.stack:
        raise RequestError("--chaos is for workers on this machine, not for a stack")


def _run_here(asked: Asked, data: BinaryIO, *, quiet: bool) -> "JobResult":
    from s3mr.local.reaper import start_reaper
    from s3mr.processes.process_start import without_collections

    options = asked.options
    with closing(start_reaper(options.endpoint_url)) as reaper:
        with without_collections():
            from s3mr.cli.jobs import find_job
            from s3mr.local.local_job import run_local
            from s3mr.options import check_requirements

        reaper.prepare_workers()
        if options.requirements is not None:
            check_requirements(options.requirements)
            if not quiet:
                say(
                    f"--requirements {options.requirements} is ignored without --stack: workers on this machine use "
                    "the packages installed here",
                    err=True,
                )
        keep_from_leaving(asked.job)
        job, code = find_job(asked.job, options.params)
        with job_view(data, endpoint_url=options.endpoint_url, quiet=quiet) as view:
            return run_local(job, code, asked.inputs, options, view=view, reaper=reaper)
