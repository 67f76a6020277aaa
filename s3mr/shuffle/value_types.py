"""Check that values can be serialized for the shuffle, and estimate how much memory they take.

An estimate is in bytes, at least what CPython needs in practice, and depends only on types and lengths. So a value
has the same size everywhere, and buffers fill, spill and cut frames at the same places in every attempt.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

from s3mr import limits
from s3mr.errors import UserCodeError

Value: TypeAlias = Any  # str, bytes, int, float, bool, None, and lists, tuples and dicts of these

NESTING_MAX: Final = 200  # containers in containers: packing recurses
# Tuples in tuples: unpacking one nests an unpacker in an unpacker, which takes 64 KiB of the C stack.
TUPLES_MAX: Final = limits.KEY_TUPLES_MAX
# Memory of a value in bytes, with the list slot that refers to it.
_FIXED: Final = {bool: 10, type(None): 10, float: 34}
INT_BYTES: Final = 42  # plus the bytes beyond 64 bits
_BYTES: Final = 50
ASCII_BYTES: Final = 66  # plus one byte per character
_TEXT: Final = 90  # plus up to four bytes per character
_LIST: Final = 82
_DICT: Final = 90
_ENTRY: Final = 104  # of a dict, besides its key and value

_ADVICE: Final = {
    "Counter": "make it a dict: dict(value)",
    "defaultdict": "make it a dict: dict(value)",
    "OrderedDict": "make it a dict: dict(value)",
    "set": "make it a sorted list: sorted(value)",
    "frozenset": "make it a sorted list: sorted(value)",
    "deque": "make it a list: list(value)",
    "ndarray": "make it a list: value.tolist()",
    "bytearray": "make it bytes: bytes(value)",
    "memoryview": "make it bytes: bytes(value)",
    "datetime": "use value.isoformat()",
    "date": "use value.isoformat()",
    "time": "use value.isoformat()",
    "timedelta": "use value.total_seconds()",
    "Decimal": "use str(value)",
    "generator": "make it a list: list(value)",
}


_JOINED_MAX: Final = 2**18  # characters; one check of joined strings is faster than a check of each
CONTAINERS: Final = frozenset((list, tuple, dict))


def check_value(value: Value) -> int:
    """Return the size of ``value`` in memory, in bytes.

    Raises:
        UserCodeError: it cannot be serialized. The message says which part of it, and what to do.
    """
    kind = type(value)
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _VARIABLE:
        return _VARIABLE[kind](value)
    if kind is tuple or kind is list:
        size_bytes = flat_bytes(value)
        if size_bytes:
            return size_bytes
    return _check(value, "value", [], 0)


def sized_snapshot(value: Value) -> tuple[int, Value]:
    """Return the size of ``value`` and a `snapshot` of it.

    Raises:
        UserCodeError: as `check_value`.
    """
    if type(value) is tuple and (size_bytes := flat_bytes(value)):
        return size_bytes, value
    return check_value(value), snapshot(value)


def flat_bytes(value: list[Value] | tuple[Value, ...]) -> int:
    """Return the size of a list or tuple of scalars only; 0 if it contains anything else."""
    size_bytes = _LIST
    for item in value:
        kind = type(item)
        if kind is int:
            size_bytes += INT_BYTES + (item.bit_length() >> 3)
        elif kind is str and item.isascii():
            size_bytes += ASCII_BYTES + len(item)
        elif kind in _FIXED:
            size_bytes += _FIXED[kind]
        elif kind in _VARIABLE:
            size_bytes += _VARIABLE[kind](item)
        else:
            return 0
    return size_bytes


def snapshot(value: Value) -> Value:
    """Return ``value`` with its lists and dicts copied: user code may change them after it has yielded them."""
    kind = type(value)
    if kind is list:
        return [snapshot(item) if type(item) in CONTAINERS else item for item in value]
    if kind is dict:
        return {key: snapshot(item) if type(item) in CONTAINERS else item for key, item in value.items()}
    if kind is tuple:
        return tuple([snapshot(item) if type(item) in CONTAINERS else item for item in value])
    return value


def column_bytes(values: Collection[Value]) -> int:
    """Return the size of all ``values``: faster than `check_value` on each. They must have been checked before."""
    kinds = set(map(type, values))
    if len(kinds) == 1:
        (kind,) = kinds
        if kind in _FIXED:
            return len(values) * _FIXED[kind]
        if kind is int:
            return len(values) * INT_BYTES + sum(map(int.bit_length, values)) // 8
        if kind is bytes:
            return len(values) * _BYTES + sum(map(len, values))
        if kind is str:
            length = sum(map(len, values))
            if "".join(values).isascii() if length <= _JOINED_MAX else all(map(str.isascii, values)):
                return len(values) * ASCII_BYTES + length
    return sum(map(check_value, values))


def _text_bytes(value: str) -> int:
    return ASCII_BYTES + len(value) if value.isascii() else _TEXT + 4 * len(value)


_VARIABLE: Final[dict[type, Callable[[Any], int]]] = {
    int: lambda value: INT_BYTES + value.bit_length() // 8,
    str: _text_bytes,
    bytes: lambda value: _BYTES + len(value),
}


LEAVES: Final = frozenset((*_FIXED, *_VARIABLE))


def _check(value: Value, place: str, ancestors: list[int], tuples: int) -> int:
    """Return the size of ``value`` at ``place``.

    ``ancestors`` are the ids of the containers around it; ``tuples`` of them are tuples.
    """
    kind = type(value)
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _VARIABLE:
        return _VARIABLE[kind](value)
    if kind not in CONTAINERS:
        raise _unsupported(value, place)
    if id(value) in ancestors:
        raise UserCodeError(f"{place} contains itself, so it cannot be serialized")
    tuples += kind is tuple
    if len(ancestors) == NESTING_MAX or tuples > TUPLES_MAX:
        raise UserCodeError(
            f"a value is nested too deep to be serialized: at most {NESTING_MAX} containers and {TUPLES_MAX} tuples "
            "may be inside each other"
        )
    ancestors.append(id(value))
    size = _items_bytes(value, place, ancestors, tuples)
    ancestors.pop()
    return size


def _items_bytes(value: Value, place: str, ancestors: list[int], tuples: int) -> int:
    if type(value) is not dict:
        if LEAVES.issuperset(map(type, value)):
            return _LIST + column_bytes(value)
        return _LIST + sum([_check(item, f"{place}[{at}]", ancestors, tuples) for at, item in enumerate(value)])
    size = _DICT + _ENTRY * len(value)
    for key, item in value.items():
        shown = repr(key)[:40] if type(key) in LEAVES else "…"
        size += _check(key, f"key {shown} of {place}", ancestors, tuples)
        size += _check(item, f"{place}[{shown}]", ancestors, tuples)
    return size


def _unsupported(value: Value, place: str) -> UserCodeError:
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    advice = _ADVICE.get(kind.__name__)
    if advice is None:
        allowed = next(
            (base for base in (bool, int, float, str, bytes, dict, list, tuple) if isinstance(value, base)), None
        )
        if allowed:
            advice = f"use {allowed.__name__}(value)"
        elif hasattr(value, "item"):  # other NumPy scalars
            advice = "use int(value) or float(value)"
        else:
            advice = "values are str, bytes, int, float, bool, None, and lists, tuples and dicts of these"
    return UserCodeError(f"{place} is of type {name}, which cannot be serialized: {advice}")
