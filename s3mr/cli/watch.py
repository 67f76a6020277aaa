"""``s3mr watch``: follow a job until it ends."""

from pathlib import Path

import click

from s3mr.cli.job_view import tell, wait_there
from s3mr.cli.options import Place, job_id_argument, json_option, keep_intermediate_option, place_option, quiet_option
from s3mr.cli.streams import data_stream


@click.command()
@job_id_argument
@keep_intermediate_option
@place_option
@json_option
@quiet_option
def watch(job_id: str, *, place: Place, keep_intermediate: Path | None, as_json: bool, quiet: bool) -> None:
    """Follow a job until it ends.

    On a stack, restarts the coordinator if the job has lost it; at an endpoint, s3mr resume does. Exits with the status
    that s3mr run would have, or with 75 if it loses contact with the job (no network, expired credentials); the job
    keeps running. Ctrl-C ends the watching, not the job.

    \b
    s3mr watch 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    from s3mr.remote.job_home import job_in

    home = place.open()
    with data_stream() as data:
        result = wait_there(home, job_in(home, job_id), keep_intermediate=keep_intermediate, quiet=quiet)
        tell(result, data, output=result.output, as_json=as_json, quiet=quiet)
