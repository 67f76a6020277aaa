"""Keys and values as MessagePack, exactly: what is decoded equals what was encoded, in value and in type.

Extension type 1 holds a tuple (the MessagePack of its list), type 2 an int beyond 64 bits (two's complement,
big-endian). Strings may hold lone surrogates. Nothing is ever unpickled.
"""

from functools import partial
from typing import Any, Final

import msgpack

from s3mr.errors import InvariantError
from s3mr.shuffle.values import TUPLES_MAX, Value

_TUPLE: Final = 1
_INT: Final = 2
_BUFFER_BYTES: Final = 4096  # what a packer begins with; it grows as needed


class Encoder:
    """Encodes values, one after the other; cheap to call, and not to be shared between threads."""

    def __init__(self) -> None:
        self._packers: list[Any] = []  # one for each level of tuples in tuples: a packer cannot be re-entered
        self._depth = 0

    def encode(self, value: Value) -> bytes:
        """Return ``value``, which `check_value` has admitted, as MessagePack."""
        depth = self._depth
        if depth == len(self._packers):
            self._packers.append(
                msgpack.Packer(
                    strict_types=True,
                    unicode_errors="surrogatepass",
                    default=self._extension,
                    buf_size=_BUFFER_BYTES,
                )
            )
        self._depth = depth + 1
        try:
            return self._packers[depth].pack(value)  # type: ignore[no-any-return]
        finally:
            self._depth = depth

    def _extension(self, value: Value) -> msgpack.ExtType:
        if type(value) is tuple:
            data = self.encode(list(value))
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
