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
_users: Final[set[str]] = set()  # names of formats that did not come with s3mr


def register_format(added: Format) -> None:
    """Make ``added`` available under its name. A module that is imported again replaces the format that it registered.

    Raises:
        RequestError: another format has this name.
    """
    known = _formats.get(added.name)
    if known is not None and (added.name not in _users or _origins(known).isdisjoint(_origins(added))):
        raise RequestError(f"a format named {added.name!r} already exists: choose another name")
    _formats[added.name] = added
    if not type(added).__module__.startswith("s3mr.formats."):
        _users.add(added.name)


def forget_formats() -> None:
    """Drop the formats that users registered: the next job may have others under the same names."""
    for name in _users:
        del _formats[name]
    _users.clear()


def _origins(known: Format) -> set[tuple[str, str]]:
    """Return what a format is recognised by: its class in its module, and in its file, also if that is a script."""
    kind = type(known)
    code = getattr(kind.records, "__code__", None)
    return {(where, kind.__qualname__) for where in (kind.__module__, code and code.co_filename) if where}


def get_format(name: str) -> Format:
    """Return the format called ``name``.

    Raises:
        RequestError: there is no such format; the message lists the existing ones.
    """
    try:
        return _formats[name]
    except KeyError:
        raise RequestError(f"there is no format {name!r}: choose one of {', '.join(sorted(_formats))}") from None
