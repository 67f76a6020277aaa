"""``s3mr run``, ``submit`` and ``resume``: have a job done, here or on a stack, and wait for it or not."""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from s3mr.cli.import_exit import keep_from_leaving
from s3mr.cli.options import (
    Asked,
    Place,
    job_id_argument,
    job_options,
    json_option,
    keep_intermediate_option,
    place_option,
    place_to_run_option,
    quiet_option,
)
from s3mr.cli.streams import data_stream, print_line, say
from s3mr.cli.waiting import announcement, tell, wait_here, wait_there
from s3mr.errors import RequestError

EXIT_REFUSED = 2  # as in `s3mr.cli.main`, which imports this

if TYPE_CHECKING:
    from s3mr.model.job import JobState
    from s3mr.model.result import JobResult
    from s3mr.remote.job_home import Deployment

_chaos_option = click.option(
    "--chaos",
    default="",
    metavar="crash=.3,stall=.3,dup=.3,seed=7",
    help="Kill, hang and double executions at random, to see that a job survives. Not on a stack.",
)


@click.command()
@job_options
@keep_intermediate_option
@_chaos_option
@place_to_run_option
@json_option
@quiet_option
def run(asked: Asked, *, place: Place, keep_intermediate: Path | None, chaos: str, as_json: bool, quiet: bool) -> None:
    """Run JOB over INPUT.

    JOB is FILE.py, FILE.py:NAME or package.module:NAME. INPUT is a file, a folder, a glob or an s3:// prefix.

    \b
    s3mr run wordcount.py books/*.txt
    s3mr run wordcount.py books/ --output out/
    s3mr run wordcount.py s3://logs/2026/ --output s3://results/words/ --stack s3mr
    """  # noqa: D301 - click reads the backspace
    if asked.output is None and place.stack:
        raise RequestError("--stack needs --output: name s3://bucket/prefix")
    if asked.output is None and as_json:
        raise RequestError("--json needs --output: standard output is for the result")
    _refuse_chaos_there(chaos, place)
    with data_stream() as data:
        if place.stack:
            home, job = _submit(asked, place.stack, quiet=quiet, keep_intermediate=keep_intermediate)
            result = wait_there(home, job, keep_intermediate=keep_intermediate, quiet=quiet)
        else:
            more = {"keep_intermediate": keep_intermediate, "chaos": chaos, "endpoint_url": place.endpoint_url}
            result = _run_here(asked, more, data, quiet=quiet)
        tell(result, data, output=asked.output, as_json=as_json, quiet=quiet)


@click.command()
@job_options
@click.option(
    "--keep-intermediate",
    is_flag=True,
    help="Leave plan and intermediate objects in the bucket; s3mr watch --keep-intermediate FOLDER copies them.",
)
@place_option
@json_option
@quiet_option
def submit(asked: Asked, *, place: Place, keep_intermediate: bool, as_json: bool, quiet: bool) -> None:
    """Start JOB over INPUT on a stack, and print its id.

    \b
    s3mr submit wordcount.py s3://logs/2026/ --output s3://results/words/ --stack s3mr
    """  # noqa: D301 - click reads the backspace
    if place.stack is None:
        raise RequestError("submit needs --stack NAME: at an endpoint, workers run for as long as s3mr run does")
    if asked.output is None:
        raise RequestError("submit needs --output: name s3://bucket/prefix")
    with data_stream() as data:
        _home, job = _submit(asked, place.stack, quiet=quiet, announced=False, leave_intermediate=keep_intermediate)
        _print_id(job, data, as_json=as_json)


@click.command()
@job_id_argument
@click.option("--output", metavar="URI", help="Where the output goes.  [default: where it was to go]")
@click.option(
    "--workers", type=int, metavar="N", help="How many workers run here, at an endpoint.  [default: one a core]"
)
@click.option("--detach", is_flag=True, help="On a stack: do not wait, print the id of the job that goes on.")
@_chaos_option
@place_option
@json_option
@quiet_option
def resume(
    job_id: str,
    *,
    output: str | None,
    workers: int | None,
    detach: bool,
    chaos: str,
    place: Place,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the rest of a job that did not succeed.

    Job ID has failed, was cancelled, or has lost its workers. What its map tasks have done is taken over as far as it
    is still there. Inputs must not have changed.

    \b
    s3mr resume 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    if detach and place.stack is None:
        raise RequestError("--detach needs --stack: at an endpoint, the workers are this command's")
    if workers is not None and place.stack is not None:
        raise RequestError("--workers is for workers here: on a stack, a resumed job has as many as it had")
    _refuse_chaos_there(chaos, place)
    with data_stream() as data:
        if place.stack is not None:
            home, goes_on = _resume_there(place.stack, job_id, output=output, quiet=quiet or detach)
            if detach:
                _print_id(goes_on, data, as_json=as_json)
                return
            result = wait_there(home, goes_on, quiet=quiet)
        else:
            more = {"output": output, "workers": workers, "chaos": chaos}
            result = _resume_here(place, job_id, more, data, quiet=quiet)
        tell(result, data, output=result.output, as_json=as_json, quiet=quiet)


def _refuse_chaos_there(chaos: str, place: Place) -> None:
    if chaos and place.stack:
        raise RequestError("--chaos is for workers here, not for a stack")


def _run_here(asked: Asked, more: dict[str, Any], data: BinaryIO, *, quiet: bool) -> "JobResult":
    from s3mr.local.reaper import start_reaper
    from s3mr.processes.process_start import without_collections

    endpoint_url = more["endpoint_url"]
    with closing(start_reaper(endpoint_url)) as care:
        with without_collections():
            from s3mr.cli.jobs import find_job
            from s3mr.local.local_job import run_local
            from s3mr.options import check_requirements

        care.prepare_workers()
        if requirements := asked.options["requirements"]:
            check_requirements(requirements)
            if not quiet:
                say(f"--requirements {requirements} is for a stack: workers here use what is installed here", err=True)
        keep_from_leaving(asked.job, EXIT_REFUSED)
        found, code = find_job(asked.job, asked.params)

        def running(*, stderr: int | None, watch: Any, deliver: Any) -> "JobResult":  # noqa: ANN401 - as `Here` says
            options = asked.to_options(stderr=stderr, **more)
            printing = deliver if options.output is None else None
            return run_local(found, code, asked.inputs, options, watch=watch, deliver=printing, care=care)

        return wait_here(running, data, endpoint_url=endpoint_url, quiet=quiet)


def _resume_here(place: Place, job_id: str, more: dict[str, Any], data: BinaryIO, *, quiet: bool) -> "JobResult":
    place.open()  # says what is missing
    from s3mr.local.reaper import start_reaper
    from s3mr.processes.process_start import without_collections

    with closing(start_reaper(place.endpoint_url)) as care:
        with without_collections():
            from s3mr.local.local_job import resume_local
            from s3mr.options import Options

        care.prepare_workers()

        def resuming(*, stderr: int | None, watch: Any, deliver: Any) -> "JobResult":  # noqa: ANN401 - as `Here` says
            options = Options(endpoint_url=place.endpoint_url, stderr=stderr, **more)
            return resume_local(job_id, options, watch=watch, deliver=deliver, care=care)

        return wait_here(resuming, data, endpoint_url=place.endpoint_url, quiet=quiet)


def _submit(
    asked: Asked,
    stack: str,
    *,
    quiet: bool,
    announced: bool = True,
    **more: Any,  # noqa: ANN401 - fields of Options
) -> "tuple[Deployment, JobState]":
    """Submit the job; if wanted, say how to find it again should this command die."""
    from s3mr.cli.jobs import find_job
    from s3mr.remote.job_home import open_to_submit
    from s3mr.remote.stack_submission import submit as submit_to

    keep_from_leaving(asked.job, EXIT_REFUSED)
    found, code = find_job(asked.job, asked.params)
    home = open_to_submit(stack)
    options = asked.to_options(**more)
    if options.requirements and not quiet:
        say(f"resolving {options.requirements} for {home.description.runtime}", err=True)
    job = submit_to(found, code, asked.inputs, options, home)
    if announced and not quiet:
        say(announcement(job.spec.job_id, home.option), err=True)
    return home, job


def _resume_there(stack: str, job_id: str, *, output: str | None, quiet: bool) -> "tuple[Deployment, JobState]":
    from s3mr.remote.job_home import open_to_submit
    from s3mr.remote.stack_resume import resume as resume_at

    home = open_to_submit(stack)
    goes_on = resume_at(home, job_id, output=output)
    if not quiet:
        say(announcement(goes_on.spec.job_id, home.option), err=True)
    return home, goes_on


def _print_id(job: "JobState", data: BinaryIO, *, as_json: bool) -> None:
    job_id = job.spec.job_id
    print_line(json.dumps({"job_id": job_id}) if as_json else job_id, data)
