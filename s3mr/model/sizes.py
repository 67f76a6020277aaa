"""Sizes as people write them: plain bytes, or KiB, MiB, GiB."""

import re
from fractions import Fraction
from typing import Final

from s3mr import limits
from s3mr.errors import RequestError

_UNITS: Final = {"GiB": limits.GIB, "MiB": limits.MIB, "KiB": limits.KIB}
_SIZE: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(KiB|MiB|GiB)?")


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` names, at least one.

    Raises:
        RequestError: it is no positive whole number of bytes; the text says what is accepted.
    """
    match = _SIZE.fullmatch(text.strip())
    size_bytes = Fraction(match[1]) * _UNITS.get(match[2], 1) if match else Fraction(0)
    if size_bytes <= 0 or size_bytes.denominator != 1:
        raise RequestError(
            f"not a size: {text!r}; write a positive number of bytes, or of KiB, MiB or GiB: 65536, 64KiB, 1.5GiB"
        )
    return int(size_bytes)


def format_size(size_bytes: int) -> str:
    """Return ``size_bytes`` in the largest unit, as `parse_size` reads it; rounded to a decimal unless it is whole."""
    for name, unit in _UNITS.items():
        if size_bytes >= unit:
            whole, rest = divmod(size_bytes, unit)
            return f"{size_bytes / unit:.1f}{name}" if rest else f"{whole}{name}"
    return str(size_bytes)
