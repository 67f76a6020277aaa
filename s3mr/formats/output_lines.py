r"""Write pairs as lines of output: ``key<TAB>value\n``. Each line is exactly one pair.

Strings are written unchanged, except for tab, newline, carriage return and backslash: these are written as ``\t``,
``\n``, ``\r`` and ``\\``. Bytes are escaped the same way and written raw. All other values are written as compact JSON,
which never contains these characters unescaped. The encoding is UTF-8; a surrogate escape is written as its byte.
"""

import json
from collections.abc import Sequence
from typing import Final

from s3mr.errors import UserCodeError

_LETTERS: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))  # the backslash first
_ESCAPES: Final = str.maketrans(dict(_LETTERS))
_SCALARS: Final = (str, int, float, bool, type(None))
_KEY_SCALARS: Final = (str, int, float, bool, bytes)
_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_to_json: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def format_pair(key: object, value: object) -> bytes:
    """Return one complete line for the pair.

    Raises:
        UserCodeError: the key or the value has a type that cannot be serialized, or cannot be encoded as UTF-8.
    """
    if _is_plain(key) and (type(value) is int or _is_plain(value)):
        try:
            return f"{key}\t{value}\n".encode()
        except ValueError:  # an int with more digits than `sys.get_int_max_str_digits`
            raise _too_long() from None
    _check_key(key)
    return b"%b\t%b\n" % (_field(key), _field(value))


def format_pairs(pairs: Sequence[tuple[str, str | int]]) -> bytes | None:
    """Return the lines of many pairs, or None if one of them must be escaped or refused: then use `format_pair`."""
    try:
        text = "".join([f"{key}\t{value}\n" for key, value in pairs])
        plain = text.count("\t") == text.count("\n") == len(pairs) and "\r" not in text and "\\" not in text
        return text.encode() if plain else None
    except ValueError:  # an int with more digits than `sys.get_int_max_str_digits`, or a surrogate
        return None


def _is_plain(value: object) -> bool:
    """Whether ``value`` is a string that needs no escapes: except for the backslash, those are not printable."""
    return type(value) is str and value.isprintable() and "\\" not in value


def _field(value: object) -> bytes:
    if type(value) is str:
        return _encode(value if _is_plain(value) else value.translate(_ESCAPES))
    if type(value) is bytes:
        for plain, escaped in _LETTERS:
            value = value.replace(plain.encode(), escaped.encode())
        return value
    return _encode(_json(value))


def _json(value: object) -> str:
    try:
        if type(value) is float or type(value) is int:  # much faster than the JSON encoder
            return _NOT_FINITE.get(repr(value)) or repr(value)
        return _to_json(_jsonable(value))
    except RecursionError:
        raise UserCodeError("a value cannot be written: it is nested too deeply, or contains itself") from None
    except ValueError:
        raise _too_long() from None


def _too_long() -> UserCodeError:
    return UserCodeError(
        "an int has too many digits to be written in decimal (sys.get_int_max_str_digits()): "
        "yield it as a string, for example hex(n)"
    )


def _jsonable(value: object) -> object:
    """Return ``value`` with lists instead of tuples and strings instead of bytes; refuse all other types."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, bytes) and kind is bytes:
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list | tuple) and kind in (list, tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict) and kind is dict:
        return {_json_name(name): _jsonable(item) for name, item in value.items()}
    raise UserCodeError(
        f"a value of type {_name(value)} cannot be serialized: "
        "yield str, bytes, int, float, bool, None, or lists, tuples and dicts of these"
    )


def _json_name(name: object) -> object:
    if type(name) in _SCALARS:
        return name
    raise UserCodeError(
        f"a dict with a key of type {_name(name)} cannot be written as JSON: use str, int, float, bool or None"
    )


def _check_key(key: object) -> None:
    if isinstance(key, tuple) and type(key) is tuple:
        for item in key:
            _check_key(item)
    elif type(key) not in _KEY_SCALARS:
        raise UserCodeError(f"a key of type {_name(key)}: keys are str, bytes, int, float, bool, or tuples of these")
    elif key != key:  # noqa: PLR0124 - NaN is the one value that differs from itself
        raise UserCodeError("the key is NaN, which cannot be a key: it does not equal itself and has no order")


def _name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UserCodeError(
            f"a string contains the lone surrogate U+{ord(text[error.start]):04X}, which UTF-8 cannot encode: "
            "replace it, for example with text.encode('utf-8', 'replace').decode()"
        ) from None
