"""Keys and values as MessagePack, exactly: what is decoded equals what was encoded, in value and in type.

Extension type 1 holds a tuple (the MessagePack of its list), type 2 an int beyond 64 bits (two's complement,
big-endian). Strings may hold lone surrogates. Nothing is ever unpickled.
"""

from functools import partial
from typing import Final

import msgpack

from s3mr.errors import InvariantError
from s3mr.shuffle.value_types import TUPLES_MAX, Value

_TUPLE: Final = 1
_INT: Final = 2
_BUFFER_BYTES: Final = 4096  # what a packer begins with; it grows as needed


class Encoder:
    """Encodes values, one after the other; cheap to call, and not to be shared between threads.

    Nothing refers back to it: its buffer, as large as twice what was encoded last, goes when it does.
    """

    def __init__(self) -> None:
        self._pack = _packer(None).pack

    def encode(self, value: Value) -> bytes:
        """Return ``value``, which `check_value` has admitted, as MessagePack."""
        try:
            return self._pack(value)  # type: ignore[no-any-return]
        except UnicodeEncodeError:  # a lone surrogate; to pass them takes twice as long for each string
            return _packer("surrogatepass").pack(value)  # type: ignore[no-any-return]


def _packer(unicode_errors: str | None) -> msgpack.Packer:
    return msgpack.Packer(
        strict_types=True, unicode_errors=unicode_errors, default=_Extensions(unicode_errors), buf_size=_BUFFER_BYTES
    )


class _Extensions:
    """Makes extensions of what plain MessagePack has not."""

    def __init__(self, unicode_errors: str | None) -> None:
        self._unicode_errors = unicode_errors
        self._inside: msgpack.Packer | None = None  # of tuples: a packer cannot be re-entered

    def __call__(self, value: Value) -> msgpack.ExtType:
        if type(value) is tuple:
            self._inside = self._inside or _packer(self._unicode_errors)
            data = self._inside.pack(list(value))
            return tuple.__new__(msgpack.ExtType, (_TUPLE, data))  # without the checks of its own `__new__`
        if type(value) is int:
            return msgpack.ExtType(_INT, value.to_bytes(value.bit_length() // 8 + 1, signed=True))
        raise InvariantError(f"a value of type {type(value).__name__} reached the codec unchecked")


def decode(data: bytes) -> Value:
    """Return the value that ``data`` holds.

    Raises:
        InvariantError: it holds none, or more than one.
    """
    try:
        return _unpack(data, 0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise InvariantError(f"{len(data)} bytes that are no MessagePack of ours: {error!r}") from error


def _unpack(data: bytes, tuples: int) -> Value:
    return msgpack.unpackb(data, ext_hook=_RESTORE[tuples], strict_map_key=False, unicode_errors="surrogatepass")


def _restore(tuples: int, code: int, data: bytes) -> Value:
    """Return the value of an extension that lies inside of so many tuples."""
    if code == _TUPLE and tuples < TUPLES_MAX:
        items = _unpack(data, tuples + 1)
        if type(items) is list:
            return tuple(items)
    elif code == _INT:
        return int.from_bytes(data, signed=True)
    raise InvariantError(f"an extension of type {code} that is not ours")


_RESTORE: Final = [partial(_restore, tuples) for tuples in range(TUPLES_MAX + 1)]
