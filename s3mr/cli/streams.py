"""Print the command's output: text for people, with control characters escaped, and data for programs.

Commands escape what they print only here.
"""

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

_CONTROL: Final = re.compile(
    r"[^\n\t -~\xa0-\U0010ffff]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)  # control characters, and those that change the direction of text


@contextmanager
def data_stream() -> Iterator[BinaryIO]:
    """Reserve standard output for data. Other writes to it, such as user code's, go to standard error."""
    try:
        kept = os.dup(1)
    except OSError:
        raise RequestError("standard output is closed: redirect it to a file, or to /dev/null") from None
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "wb", buffering=0) as data:
            yield data
    finally:
        if sys.__stdout__ is not None and not sys.__stdout__.closed:  # the job may have replaced `sys.stdout`
            sys.__stdout__.flush()
        os.dup2(kept, 1)
        os.close(kept)


def say(text: str, *, err: bool = False) -> None:
    """Print text for a person, with control characters escaped: other people may have chosen names and log lines."""
    click.echo(harmless(text), err=err)


def say_json(text: str) -> None:
    """Print a line of JSON, with control characters escaped."""
    click.echo(harmless_json(text))


def harmless(text: str) -> str:
    """Escape characters that control a terminal: names of inputs, and output of user code, may contain anything."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def harmless_json(text: str) -> str:
    """Escape the same characters in JSON, where they can only occur within a string."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_parts(result: "JobResult", data: BinaryIO) -> None:
    """Copy the parts of an output folder to ``data``."""
    for part in result.part_files():
        with part.open("rb") as file:
            write(file, data)


def print_line(text: str, data: BinaryIO) -> None:
    """Write one line, either a job's id or JSON, to ``data``."""
    write(io.BytesIO(harmless_json(text).encode() + b"\n"), data)


def write(content: BinaryIO, data: BinaryIO) -> None:
    """Copy ``content`` to standard output.

    Raises:
        S3mrError: standard output cannot be written.
        BrokenPipeError: its reader is gone.
    """
    try:
        while block := content.read(limits.MIB):
            left = memoryview(block)
            while left:
                left = left[data.write(left) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise S3mrError(f"cannot write to standard output: {error.strerror}; the job itself succeeded") from error
