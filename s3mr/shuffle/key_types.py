"""Check the types of keys. All keys of a job must be of one type, so that ``<`` works between any two.

A type is written ``str``, ``bytes``, ``int``, ``float``, ``bool`` or ``tuple[str,int]``, nested like the key. Two
tuples of different lengths agree if the shorter one agrees with the start of the longer one.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from s3mr import limits
from s3mr.errors import InvariantError, UserCodeError
from s3mr.shuffle.value_types import TUPLES_MAX

Key: TypeAlias = Any  # str, bytes, int, float, bool, or a tuple of these: one type per job, known only at run time
Shape: TypeAlias = str | tuple["Shape", ...]  # a parsed type

SCALARS: Final = {str: "str", bytes: "bytes", int: "int", float: "float", bool: "bool"}
_ADVICE: Final = {
    "NoneType": "leave such pairs out, or use an empty string",
    "list": "use tuple(key)",
    "set": "use tuple(sorted(key))",
    "frozenset": "use tuple(sorted(key))",
    "dict": "use tuple(sorted(key.items()))",
    "bytearray": "use bytes(key)",
    "memoryview": "use bytes(key)",
    "date": "use key.isoformat()",
    "datetime": "use key.isoformat()",
    "Decimal": "use str(key)",
}


def key_type(key: Key) -> str:
    """Return the name of the type of ``key``, as in ``tuple[str,int]``.

    Raises:
        UserCodeError: ``key`` is not a valid key: it has another type or a subclass of a valid one, or is NaN.
    """
    return _bounded(_format(_shape(key)))


def merge_types(one: str, other: str) -> str:
    """Return the type that covers keys of both types: the longer one of two tuples that agree.

    Raises:
        UserCodeError: the types do not agree.
    """
    if one == other:
        return one
    merged = _join(_parse(one), _parse(other))
    if merged is None:
        raise UserCodeError(f"keys of mixed types: {one} and {other}; yield keys of one type in the whole job")
    return _bounded(_format(merged))


class KeyTypes:
    """The type of all keys seen so far.

    ``scalar``, ``two_item_shape`` and ``shapes`` are for hot loops that cannot afford a call per pair. A key agrees
    with the keys before it if its type is ``scalar``, or if it is a tuple whose item types are ``two_item_shape`` or
    one of ``shapes``. Pass any other key to `admit`.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.scalar: type | None = None
        self.shapes: set[tuple[type, ...]] = set()
        self.two_item_shape: tuple[type | None, ...] = (None, None)  # the one of ``shapes`` that has two items
        self.floats = False  # whether a key can be or contain NaN, which only `admit` finds

    def admit(self, key: Key) -> None:
        """Check the type of ``key``, and remember it.

        Raises:
            UserCodeError: as `key_type` and `merge_types`.
        """
        name = key_type(key)
        self.name = name if self.name is None else merge_types(self.name, name)
        self.floats = "float" in self.name
        if type(key) is not tuple:
            self.scalar = type(key)
        elif tuple not in (kinds := tuple(map(type, key))):
            self.shapes.add(kinds)
            self.two_item_shape = kinds if len(kinds) == 2 else self.two_item_shape


def _shape(key: Key, depth: int = 0) -> Shape:
    kind = type(key)
    if kind is tuple:
        if depth == TUPLES_MAX:
            raise UserCodeError(f"a key nests tuples more than {TUPLES_MAX} deep")
        return tuple(_shape(item, depth + 1) for item in key)
    name = SCALARS.get(kind)
    if name is None:
        raise _unsupported(key)
    if kind is float and key != key:  # noqa: PLR0124 - only NaN differs from itself
        raise UserCodeError("NaN cannot be a key: it does not equal itself and has no order")
    return name


def _unsupported(key: Key) -> UserCodeError:
    kind = type(key)
    allowed = next((base.__name__ for base in (bool, *SCALARS, tuple) if isinstance(key, base)), None)
    numpy = "use int(key) or float(key)" if hasattr(key, "item") else "use str(key)"
    advice = f"use {allowed}(key)" if allowed else _ADVICE.get(kind.__name__, numpy)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return UserCodeError(f"a key of type {name}; keys are str, bytes, int, float, bool or tuples of these: {advice}")


def _bounded(name: str) -> str:
    if len(name) > limits.KEY_TYPE_MAX:
        raise UserCodeError(
            f"the type of a key is too complex: its name has {len(name):,} characters, more than "
            f"{limits.KEY_TYPE_MAX:,}: use tuples of fewer items, or str(key)"
        )
    return name


def _format(shape: Shape) -> str:
    return shape if isinstance(shape, str) else f"tuple[{','.join(map(_format, shape))}]"


def _parse(name: str) -> Shape:
    if name in SCALARS.values():
        return name
    if not (name.startswith("tuple[") and name.endswith("]")):
        raise InvariantError(f"not a type of keys: {name!r}")
    return tuple(map(_parse, _items(name[len("tuple[") : -1])))


def _items(names: str) -> Iterable[str]:
    """Split at the commas that are outside all brackets."""
    depth = start = 0
    for place, character in enumerate(names):
        depth += (character == "[") - (character == "]")
        if character == "," and not depth:
            yield names[start:place]
            start = place + 1
    if names:
        yield names[start:]


def _join(one: Shape, other: Shape) -> Shape | None:
    if isinstance(one, str) or isinstance(other, str):
        return one if one == other else None
    shorter, longer = sorted((one, other), key=len)
    joined = tuple(map(_join, shorter, longer))
    return None if None in joined else (*joined, *longer[len(shorter) :])  # type: ignore[arg-type]
