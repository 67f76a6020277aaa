"""Choose the partition of a key: always the same one, in every process and on every machine.

Python's own `hash` is salted per process, so it cannot do this. "Dean and Ghemawat 2004", section 4.1.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import repeat
from operator import mod
from typing import Final, TypeAlias

import xxhash

from s3mr.errors import UserCodeError
from s3mr.shuffle.codec import Encoder
from s3mr.shuffle.key_types import Key

Partition: TypeAlias = Callable[[Sequence[Key]], list[int]]  # keys of one type → the partition of each

_EXACT: Final = frozenset((str, bytes, int, bool))  # equal keys have equal encodings


def stable_hash(key: Key) -> int:
    """Return a 64-bit hash that depends only on ``key``. Equal keys (0.0 and -0.0) have equal hashes.

    It is the XXH3 of a string's UTF-8 (with surrogates), of the bytes, or of the key's MessagePack.
    """
    return _hash(key, Encoder())


def by_hash(reducers: int) -> Partition:
    """Return the default partition of keys: ``stable_hash(key) % reducers``."""
    if reducers == 1:
        return lambda keys: [0] * len(keys)
    encoder = Encoder()

    def partition(keys: Sequence[Key]) -> list[int]:
        if keys and type(keys[0]) is str:  # like `_hash`, without a Python call for each key
            with suppress(UnicodeEncodeError):
                return list(map(mod, map(xxhash.xxh3_64_intdigest, map(str.encode, keys)), repeat(reducers)))
        return [_hash(key, encoder) % reducers for key in keys]

    return partition


def by_function(function: Callable[[Key, int], object], reducers: int) -> Callable[[Key], int]:
    """Return a function that asks the user's ``function(key, reducers)`` for the partition of one key.

    Raises:
        UserCodeError: from the returned function, if the user's does not return an int in ``range(reducers)``.
    """

    def partition(key: Key) -> int:
        chosen = function(key, reducers)
        if type(chosen) is not int or not 0 <= chosen < reducers:
            raise UserCodeError(f"partition returned {chosen!r:.200}; it must return an int from 0 to {reducers - 1}")
        return chosen

    return partition


def _hash(key: Key, encoder: Encoder) -> int:
    kind = type(key)
    if kind is str:
        data = key.encode("utf-8", "surrogatepass")
    elif kind is bytes:
        data = key
    else:
        data = encoder.encode(_canonical(key))
    return xxhash.xxh3_64_intdigest(data)


def _canonical(key: Key) -> Key:
    """Return ``key`` without negative zeros, so that equal keys have equal encodings."""
    if type(key) is float:
        return key + 0.0
    if type(key) is tuple and not _EXACT.issuperset(map(type, key)):
        return tuple(map(_canonical, key))
    return key
