"""``s3mr``: the command group, its error messages and its exit statuses."""

import io
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Final, NoReturn

import click

from s3mr.adapters.exhaustion import exhaustion
from s3mr.cli.exit_status import EXIT_DETACHED, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED
from s3mr.cli.streams import say
from s3mr.errors import DetachedError, JobFailedError, RequestError, S3mrError

_ENDS: Final[dict[type[S3mrError], tuple[int, str]]] = {
    RequestError: (EXIT_REFUSED, ""),
    JobFailedError: (EXIT_FAILED, "the job failed: "),
    DetachedError: (EXIT_DETACHED, ""),
    S3mrError: (EXIT_FAILED, ""),
}


# In the order of a job's life. Each command is in a module of the same name, which is imported on demand.
COMMANDS: Final = (
    "run", "submit", "status", "watch", "ls", "logs", "history", "cancel", "resume", "clean", "verify", "doctor"
)  # fmt: skip


class _Commands(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"s3mr.cli.{name}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="s3mr")
def commands() -> None:
    """Serverless MapReduce: plain Python map and reduce functions over objects in S3."""


def main() -> NoReturn:
    """Run the command and exit.

    Statuses: 0 if it succeeded, 2 if it was refused before anything started, 1 if it failed later, 75 if it lost
    contact with a job that keeps running, 130 after Ctrl-C.
    """
    _open_standard_error()
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(signal_number, _interrupt)
    try:
        status = commands.main(standalone_mode=False) or 0
    except click.exceptions.Exit as ended:
        status = ended.exit_code
    except click.ClickException as error:
        _show(error)
        status = EXIT_REFUSED
    except (KeyboardInterrupt, click.Abort) as error:
        detail = str(error.__cause__ or error)  # click wraps the KeyboardInterrupt in its own exception
        say(f"interrupted: {detail}" if detail else "interrupted", err=True)
        status = EXIT_INTERRUPTED
    except S3mrError as error:
        status = _say(error)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output is gone: exit silently
        status = EXIT_FAILED
    except (OSError, RuntimeError, MemoryError) as error:
        if (why := exhaustion(error)) is None:
            raise
        status = _say(S3mrError(why))
    sys.exit(status)


def _open_standard_error() -> None:
    """Discard messages if standard error was closed at the start: else the next opened file would get descriptor 2."""
    if sys.stderr is None:
        null = os.open(os.devnull, os.O_RDWR)  # readable, because it becomes standard input if that is closed as well
        if null == 2:
            os.set_inheritable(2, True)
        else:
            os.dup2(null, 2)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - it stays open


def _show(error: click.ClickException) -> None:
    """Print click's error about the command line, escaped: its arguments may be file names from a glob."""
    shown = io.StringIO()
    error.show(shown)
    say(shown.getvalue().removesuffix("\n"), err=True)


def _say(error: S3mrError) -> int:
    """Print an error, and return the exit status."""
    status, prefix = next(end for kind, end in _ENDS.items() if isinstance(error, kind))
    say(f"s3mr: {prefix}{error}", err=True)
    return status


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
