"""Encode keys and values as MessagePack. A decoded value equals the encoded one, in value and in type.

Extension type 1 holds a tuple (the MessagePack of its items as a list). Type 2 holds an int beyond 64 bits (two's
complement, big-endian). Strings may contain lone surrogates. s3mr never unpickles anything.
"""

from functools import partial
from typing import Final

import msgpack

from s3mr.errors import InvariantError
from s3mr.shuffle.value_types import TUPLES_MAX, Value

_TUPLE: Final = 1
_INT: Final = 2
_BUFFER_BYTES: Final = 4096  # initial size of a packer's buffer; it grows as needed


class Encoder:
    """Encodes one value after another. Not safe to share between threads.

    Its buffer can be twice as large as the last encoded value. No reference cycle keeps it alive: drop the encoder to
    free the buffer.
    """

    def __init__(self) -> None:
        self._pack = _packer(None).pack

    def encode(self, value: Value) -> bytes:
        """Return ``value`` as MessagePack. `check_value` must have accepted it."""
        try:
            return self._pack(value)  # type: ignore[no-any-return]
        except UnicodeEncodeError:  # a lone surrogate: "surrogatepass" is twice as slow, so only such values use it
            return _packer("surrogatepass").pack(value)  # type: ignore[no-any-return]


def _packer(unicode_errors: str | None) -> msgpack.Packer:
    return msgpack.Packer(
        strict_types=True, unicode_errors=unicode_errors, default=_Extensions(unicode_errors), buf_size=_BUFFER_BYTES
    )


class _Extensions:
    """Encodes the types that plain MessagePack lacks: tuples and large ints."""

    def __init__(self, unicode_errors: str | None) -> None:
        self._unicode_errors = unicode_errors
        self._nested: msgpack.Packer | None = None  # packs tuples: a packer is not reentrant

    def __call__(self, value: Value) -> msgpack.ExtType:
        if type(value) is tuple:
            self._nested = self._nested or _packer(self._unicode_errors)
            data = self._nested.pack(list(value))
            return tuple.__new__(msgpack.ExtType, (_TUPLE, data))  # faster: skips the checks of `ExtType.__new__`
        if type(value) is int:
            return msgpack.ExtType(_INT, value.to_bytes(value.bit_length() // 8 + 1, signed=True))
        raise InvariantError(f"cannot encode a value of type {type(value).__name__}: it was not checked before")


def decode(data: bytes) -> Value:
    """Return the value encoded in ``data``.

    Raises:
        InvariantError: ``data`` is not exactly one encoded value.
    """
    try:
        return _unpack(data, 0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise InvariantError(f"cannot decode {len(data)} bytes of MessagePack: {error!r}") from error


def _unpack(data: bytes, tuples: int) -> Value:
    return msgpack.unpackb(data, ext_hook=_EXT_HOOKS[tuples], strict_map_key=False, unicode_errors="surrogatepass")


def _decode_extension(tuples: int, code: int, data: bytes) -> Value:
    """Return the value of an extension nested in ``tuples`` tuples."""
    if code == _TUPLE and tuples < TUPLES_MAX:
        items = _unpack(data, tuples + 1)
        if type(items) is list:
            return tuple(items)
    elif code == _INT:
        return int.from_bytes(data, signed=True)
    raise InvariantError(f"cannot decode a MessagePack extension of type {code}")


_EXT_HOOKS: Final = [partial(_decode_extension, tuples) for tuples in range(TUPLES_MAX + 1)]
