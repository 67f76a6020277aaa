"""What leaves the command: text for people, made harmless here and nowhere else; and data, whole or with an error."""

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from s3mr import limits
from s3mr.errors import RequestError, S3mrError

if TYPE_CHECKING:
    from s3mr.model.result import JobResult

_STEERING: Final = re.compile(
    r"[^\n\t -~\xa0-\U0010ffff]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)  # control, and direction


@contextmanager
def data_stream() -> Iterator[BinaryIO]:
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
        if sys.__stdout__ is not None and not sys.__stdout__.closed:  # `sys.stdout` may be the job's own by now
            sys.__stdout__.flush()
        os.dup2(kept, 1)
        os.close(kept)


def say(text: str, *, err: bool = False) -> None:
    """Print text for a person; nothing in it steers a terminal: names, failures and log lines may be other people's."""
    click.echo(harmless(text), err=err)


def say_json(text: str) -> None:
    """Print a line of JSON, in which what could steer a terminal is escaped."""
    click.echo(harmless_json(text))


def harmless(text: str) -> str:
    """Write out what could steer a terminal: names of inputs, and what user code says, may hold anything."""
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def harmless_json(text: str) -> str:
    """Escape the same in JSON, where it can only be within a string."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_parts(result: "JobResult", data: BinaryIO) -> None:
    """Copy the parts of an output folder to ``data``."""
    for part in result.part_files():
        with part.open("rb") as file:
            write(file, data)


def print_line(text: str, data: BinaryIO) -> None:
    """Write one line, a job's id or JSON, to ``data``."""
    write(io.BytesIO(harmless_json(text).encode() + b"\n"), data)


def write(content: BinaryIO, data: BinaryIO) -> None:
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
