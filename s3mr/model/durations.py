"""Durations as people write and read them: plain seconds, or minutes, hours, days."""

import re
from typing import Final

from s3mr.errors import RequestError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd])?")
_READ: Final = (("d", 24 * 3600), ("h", 3600), ("min", 60), ("s", 1))


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` names, more than none.

    Raises:
        RequestError: it is no duration; the text says what is accepted.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if seconds <= 0:
        raise RequestError(f"not a duration: {text!r}; write seconds, or minutes, hours or days: 90, 30m, 12h, 6d")
    return seconds


def format_duration(seconds: float) -> str:
    """Return ``seconds`` in its two largest units, for a person: ``4.2 s``, ``12 min 5 s``, ``1 d 3 h``."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    left = round(seconds)
    said: list[tuple[int, str]] = []
    for name, unit in _READ:
        count, left = divmod(left, unit)
        if count or said:
            said.append((count, name))
    return " ".join(f"{count} {name}" for count, name in said[:2] if count)
