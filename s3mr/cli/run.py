"""``s3mr run``: run a job and print its output, or say where it is."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import click

from s3mr import limits
from s3mr.errors import RequestError, S3mrError

if TYPE_CHECKING:
    from s3mr.model.result import JobResult


@click.command()
@click.argument("job")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "--output", metavar="URI", help="A new or empty folder, or s3://bucket/prefix.  [default: standard output]"
)
@click.option("--reducers", type=int, metavar="N", help="How many parts the output has.  [default: 2 a worker]")
@click.option("--workers", type=int, metavar="N", help="How many worker processes run.  [default: one a core]")
@click.option(
    "--split-size", default="64MiB", metavar="SIZE", show_default=True, help="How much input a map task reads."
)
@click.option(
    "--layout",
    type=click.Choice(["auto", "split", "packed"]),
    default="auto",
    show_default=True,
    help="How intermediate objects are laid out: one a map task and reducer, or one a map task.",
)
@click.option(
    "--input-format",
    metavar="text|whole",
    help="What a record is: a line, or an entire object.  [default: as the job says, else text]",
)
@click.option(
    "--memory", default="512MiB", metavar="SIZE", show_default=True, help="Memory for sorting and merging, a worker."
)
@click.option(
    "--attempts", type=int, default=limits.ATTEMPTS, metavar="N", show_default=True, help="How often a task is tried."
)
@click.option(
    "--task-timeout",
    type=float,
    default=limits.TASK_TIMEOUT_S,
    metavar="S",
    show_default=True,
    help="Seconds after which a task is taken to hang.",
)
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter, in functions s3mr.params[NAME]. Repeatable.",
)
@click.option(
    "--keep-intermediate",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy plan and intermediate objects there.",
)
@click.option(
    "--chaos",
    default="",
    metavar="crash=.3,stall=.3,dup=.3,seed=7",
    help="Kill, hang and double executions at random, to see that a job survives.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object. Needs --output.")
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
def run(
    job: str,
    inputs: tuple[str, ...],
    *,
    output: str | None,
    reducers: int | None,
    workers: int | None,
    split_size: str,
    layout: Literal["auto", "split", "packed"],
    input_format: str | None,
    memory: str,
    attempts: int,
    task_timeout: float,
    params: tuple[str, ...],
    keep_intermediate: Path | None,
    chaos: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run JOB over INPUT.

    JOB is FILE.py, FILE.py:NAME or package.module:NAME. INPUT is a file, a folder, a glob or an s3:// prefix.

    \b
    s3mr run wordcount.py books/*.txt
    s3mr run wordcount.py books/ --output out/
    """  # noqa: D301 - click reads the backspace
    if as_json and output is None:
        raise RequestError("--json needs --output: standard output is for the result")
    given = dict(_parameter(param) for param in params)
    with _data_stream() as data:
        from s3mr.cli.jobs import find_job
        from s3mr.cli.progress import Progress
        from s3mr.cli.summary import summary
        from s3mr.local.running import Options, run_local

        found, code = find_job(job, given)
        with Progress(shown=not quiet) as progress:
            options = Options(
                output=output,
                reducers=reducers,
                workers=workers,
                split_size=split_size,
                layout=layout,
                input_format=input_format,
                memory=memory,
                attempts=attempts,
                task_timeout_s=task_timeout,
                params=given,
                keep_intermediate=keep_intermediate,
                chaos=chaos,
                stderr=progress.stderr,
            )
            print_parts = None if output is not None else lambda result: progress.pause(lambda: _print(result, data))
            result = run_local(found, code, inputs, options, watch=progress.show, deliver=print_parts)
        if as_json:
            _write(io.BytesIO(result.model_dump_json().encode() + b"\n"), data)
        if not quiet:
            click.echo(summary(result, shown_output=output), err=True)


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise RequestError(f"--param {text}: write NAME=VALUE")
    return name, value


@contextmanager
def _data_stream() -> Iterator[BinaryIO]:
    """Give standard output to data alone: what else writes there, user code above all, goes to standard error."""
    try:
        kept = os.dup(1)
    except OSError:
        raise RequestError("standard output is closed: there is nowhere to print to") from None
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "wb", buffering=0) as data:
            yield data
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _print(result: "JobResult", data: BinaryIO) -> None:
    for part in result.part_files():
        with part.open("rb") as file:
            _write(file, data)


def _write(content: BinaryIO, data: BinaryIO) -> None:
    """Copy ``content`` to standard output.

    Raises:
        S3mrError: that cannot be written. That its reader has gone stays a BrokenPipeError.
    """
    try:
        while block := content.read(limits.MIB):
            left = memoryview(block)
            while left:
                left = left[data.write(left) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise S3mrError(f"standard output cannot be written: {error.strerror}; the job itself succeeded") from error
