"""What a format is, and the formats by name. Users add their own with `register_format`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from s3mr.errors import RequestError
from s3mr.model.plan import Split

Read = Callable[[int, int], Iterator[bytes]]  # (start, stop): the bytes of that range of one object, in blocks


class Batch(NamedTuple):
    """Some records, and how many bytes of the object they account for, terminators included."""

    records: Sequence[str]
    size_bytes: int


class Format(Protocol):
    """Turns the bytes of an object into records. A format keeps no state between calls."""

    @property
    def name(self) -> str: ...

    def records(self, blocks: Iterable[bytes]) -> Iterator[Batch]:
        """Yield the records of an object whose bytes are ``blocks``, in order; the batches cover every byte."""


@runtime_checkable
class SplittableFormat(Format, Protocol):
    """A format that can begin in the middle of an object."""

    def split_records(self, read: Read, split: Split) -> Iterator[Batch]:
        """Yield the records that belong to ``split``: over all splits of an object, each exactly once.

        The batches of all splits together cover every byte of the object exactly once.
        """


_formats: Final[dict[str, Format]] = {}


def register_format(added: Format) -> None:
    """Make ``added`` known under its name.

    Raises:
        RequestError: another format has this name.
    """
    if _formats.setdefault(added.name, added) is not added:
        raise RequestError(f"a format named {added.name!r} exists already: choose another name")


def get_format(name: str) -> Format:
    """Return the format of that name.

    Raises:
        RequestError: there is none; the text lists those there are.
    """
    try:
        return _formats[name]
    except KeyError:
        raise RequestError(f"no format {name!r}: choose one of {', '.join(sorted(_formats))}") from None
