"""Lay out figures for a person: aligned columns, names before values, times in the local time zone."""

import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from s3mr.cli.streams import harmless

GAP = "  "


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return ``rows`` below ``header``, in columns as wide as their cells. On a terminal, cut lines to its width.

    Columns whose header begins with a space are aligned to the right.
    """
    lines = [[name.strip() for name in header], *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    right = [name.startswith(" ") for name in header]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return "\n".join(
        shortened(
            GAP.join(
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(line, widths, right, strict=True)
            ).rstrip(),
            room,
        )
        for line in lines
    )


def fields(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a line for each name and value, with aligned values."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}{GAP}{one_line(value)}" for name, value in pairs)


def one_line(value: str) -> str:
    """Escape a value, so it cannot span several lines, and so a cut of the line counts the characters shown."""
    return harmless(value).replace("\n", "\\n")


def shortened(text: str, room: int | None) -> str:
    """Return ``text``, cut to ``room`` characters."""
    return text if room is None or len(text) <= room else f"{text[: room - 1]}…"


def moment(at: float) -> str:
    """Return a date and time in the local time zone."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def time_of_day(at: float | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC).astimezone():%H:%M:%S}"


def many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
