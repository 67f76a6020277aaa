"""Merge the pieces of one partition, for a reduce task. "Dean and Ghemawat 2004", section 3.1, point 5."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, groupby
from operator import itemgetter
from typing import Final

from s3mr.shuffle import frames
from s3mr.shuffle.external_sort import ExternalSort, Group, Scratch
from s3mr.shuffle.frames import Pair

_key: Final = itemgetter(0)
_value: Final = itemgetter(1)


def merge_runs(
    runs: Iterable[Iterable[bytes]], *, memory_bytes: int, frame_bytes: int, scratch: Scratch
) -> Iterator[Group]:
    """Yield each key of ``runs`` once, in increasing order, with an iterator over all its values.

    Reads ``runs`` one after another, each to its end, before it yields the first key. Keeps them in memory while they
    fit, and sorts externally if they do not. For equal keys, values of an earlier run come first. Read the values of a
    key before you ask for the next key. Uses at most ``memory_bytes``, plus one decoded frame. Closes its files from
    ``scratch`` when the generator ends.

    Raises:
        InvariantError: a run is damaged.
        RequestError: a key with one of its values is too large for a frame.
    """
    pairs: list[Pair] = []
    size_bytes = 0
    with closing(ExternalSort(memory_bytes=memory_bytes, frame_bytes=frame_bytes, scratch=scratch)) as sort:
        for frame in chain.from_iterable(map(frames.read_run, runs)):
            pairs += frame.pairs()
            size_bytes += frame.size_bytes
            del frame  # a reference would keep its pairs in memory after they are spilled
            if size_bytes > memory_bytes:
                pairs.sort(key=_key)
                sort.spill([(0, iter((pairs,)))])
                pairs, size_bytes = [], 0
        pairs.sort(key=_key)
        if not sort.spilled:
            for key, same in groupby(pairs, key=_key):
                yield key, map(_value, same)
            return
        sort.spill([(0, iter((pairs,)))])
        pairs.clear()
        yield from sort.merge(0)
