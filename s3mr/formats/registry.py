"""Define what a format is, and find formats by name. Users add their own with `register_format`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from s3mr.errors import RequestError
from s3mr.model.plan import Split

Read = Callable[[int, int], Iterator[bytes]]  # (start, stop) → the bytes of that range of one object, in blocks


class Batch(NamedTuple):
    """Some records, and how many bytes of the object they come from, line ends included."""

    records: Sequence[str]
    size_bytes: int


class Format(Protocol):
    """Turns the bytes of an object into records. A format keeps no state between calls."""

    @property
    def name(self) -> str: ...

    def records(self, blocks: Iterable[bytes]) -> Iterator[Batch]:
        """Yield the records of an object in order. ``blocks`` are its bytes; the batches must cover all of them."""


@runtime_checkable
class SplittableFormat(Format, Protocol):
    """A format that can start reading in the middle of an object."""

    def split_records(self, read: Read, split: Split) -> Iterator[Batch]:
        """Yield the records that belong to ``split``. Each record must belong to exactly one split of its object.

        The batches of all splits together must cover every byte of the object exactly once.
        """


_formats: Final[dict[str, Format]] = {}


def register_format(added: Format) -> None:
    """Make ``added`` available under its name.

    Raises:
        RequestError: another format has this name.
    """
    if _formats.setdefault(added.name, added) is not added:
        raise RequestError(f"a format named {added.name!r} already exists: choose another name")


def get_format(name: str) -> Format:
    """Return the format called ``name``.

    Raises:
        RequestError: there is no such format; the message lists the existing ones.
    """
    try:
        return _formats[name]
    except KeyError:
        raise RequestError(f"there is no format {name!r}: choose one of {', '.join(sorted(_formats))}") from None
