"""Parse and format sizes and durations for people: ``64MiB``, ``12h``."""

import re
from fractions import Fraction
from typing import Final

from s3mr import limits
from s3mr.errors import RequestError

_SIZE_UNITS: Final = {"GiB": limits.GIB, "MiB": limits.MIB, "KiB": limits.KIB}
_SIZE: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(KiB|MiB|GiB)?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd])?")
_SHOWN: Final = (("d", 24 * 3600), ("h", 3600), ("min", 60), ("s", 1))


def parse_size(text: str) -> int:
    """Return the size in bytes that ``text`` names, at least one.

    Raises:
        RequestError: ``text`` is not a positive whole number of bytes. The message says what is accepted.
    """
    match = _SIZE.fullmatch(text.strip())
    size_bytes = Fraction(match[1]) * _SIZE_UNITS.get(match[2], 1) if match else Fraction(0)
    if size_bytes <= 0 or size_bytes.denominator != 1:
        raise RequestError(
            f"not a size: {text!r}; write a positive number of bytes, or of KiB, MiB or GiB: 65536, 64KiB, 1.5GiB"
        )
    return int(size_bytes)


def format_size(size_bytes: int) -> str:
    """Return ``size_bytes`` in its largest unit, for `parse_size`. A fraction is rounded to one decimal."""
    for name, unit in _SIZE_UNITS.items():
        if size_bytes >= unit:
            whole, rest = divmod(size_bytes, unit)
            return f"{size_bytes / unit:.1f}{name}" if rest else f"{whole}{name}"
    return str(size_bytes)


def parse_duration(text: str) -> float:
    """Return the duration in seconds that ``text`` names, more than zero.

    Raises:
        RequestError: ``text`` is not a duration. The message says what is accepted.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else 0.0
    if seconds <= 0:
        raise RequestError(f"not a duration: {text!r}; write seconds, or minutes, hours or days: 90, 30m, 12h, 6d")
    return seconds


def format_duration(seconds: float) -> str:
    """Return ``seconds`` in its two largest units: ``4.2 s``, ``12 min 5 s``, ``1 d 3 h``."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    left = round(seconds)
    said: list[tuple[int, str]] = []
    for name, unit in _SHOWN:
        count, left = divmod(left, unit)
        if count or said:
            said.append((count, name))
    return " ".join(f"{count} {name}" for count, name in said[:2] if count)
