"""Keys: which are allowed, and that all keys of a job are of one type, so that ``<`` always answers.

A type is spelled ``str``, ``bytes``, ``int``, ``float``, ``bool`` or ``tuple[str,int]``, nested as deep as the
key. Tuples agree when position by position their types agree as far as both go.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from s3mr import limits
from s3mr.errors import InvariantError, UserCodeError
from s3mr.shuffle.value_types import TUPLES_MAX

Key: TypeAlias = Any  # str, bytes, int, float, bool, or a tuple of these: one type a job, known only as it runs
Shape: TypeAlias = str | tuple["Shape", ...]  # a type, taken apart

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
    """Return how the type of ``key`` is spelled.

    Raises:
        UserCodeError: no key: another type, a subclass of an allowed one, or NaN.
    """
    return _bounded(_spell(_shape(key)))


def merge_types(one: str, other: str) -> str:
    """Return the type that covers keys of both types; of two tuples that agree, the longer.

    Raises:
        UserCodeError: no type covers both.
    """
    if one == other:
        return one
    merged = _join(_parse(one), _parse(other))
    if merged is None:
        raise UserCodeError(f"keys of mixed types: {one} and {other}; all keys of a job must be of one type")
    return _bounded(_spell(merged))


class KeyTypes:
    """The one type of all keys seen so far.

    ``scalar``, ``two`` and ``shapes`` serve loops that cannot afford a call for each pair: a key whose type is
    ``scalar``, or a tuple whose item types are ``two`` or among ``shapes``, agrees with what was seen. Anything else
    goes to `admit`.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.scalar: type | None = None
        self.shapes: set[tuple[type, ...]] = set()
        self.two: tuple[type | None, ...] = (None, None)  # the one of ``shapes`` that has two items
        self.floats = False  # whether a key may be or hold NaN, which only `admit` sees

    def admit(self, key: Key) -> None:
        """Take ``key`` in.

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
            self.two = kinds if len(kinds) == 2 else self.two


def _shape(key: Key, depth: int = 0) -> Shape:
    kind = type(key)
    if kind is tuple:
        if depth == TUPLES_MAX:
            raise UserCodeError(f"a key nests tuples more than {TUPLES_MAX} deep")
        return tuple(_shape(item, depth + 1) for item in key)
    name = SCALARS.get(kind)
    if name is None:
        raise _refusal(key)
    if kind is float and key != key:  # noqa: PLR0124 - only NaN differs from itself
        raise UserCodeError("NaN is no key: it equals nothing and sorts nowhere")
    return name


def _refusal(key: Key) -> UserCodeError:
    kind = type(key)
    allowed = next((base.__name__ for base in (bool, *SCALARS, tuple) if isinstance(key, base)), None)
    numpy = "use int(key) or float(key)" if hasattr(key, "item") else "use str(key)"
    advice = f"use {allowed}(key)" if allowed else _ADVICE.get(kind.__name__, numpy)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return UserCodeError(f"a key of type {name}; keys are str, bytes, int, float, bool or tuples of these: {advice}")


def _bounded(name: str) -> str:
    if len(name) > limits.KEY_TYPE_MAX:
        raise UserCodeError(
            f"the type of a key takes {len(name):,} characters to spell, and may take {limits.KEY_TYPE_MAX:,}: "
            "use tuples of fewer items, or str(key)"
        )
    return name


def _spell(shape: Shape) -> str:
    return shape if isinstance(shape, str) else f"tuple[{','.join(map(_spell, shape))}]"


def _parse(name: str) -> Shape:
    if name in SCALARS.values():
        return name
    if not (name.startswith("tuple[") and name.endswith("]")):
        raise InvariantError(f"no type of keys: {name!r}")
    return tuple(map(_parse, _items(name[len("tuple[") : -1])))


def _items(names: str) -> Iterable[str]:
    """Cut at the commas that are outside of all brackets."""
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
