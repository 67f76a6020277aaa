"""Proving a committed output against its ``_SUCCESS``, from the objects themselves.

``_SUCCESS`` says which parts there are, how long, with how many records and which CRC-32C. Each part is read from its
first byte to its last, and nothing is believed that was not read; what lies beside the parts is named as well. Names
that begin with ``_`` or ``.`` are left alone, as they are by a job that would read this output.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import google_crc32c

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.model.object_names import SUCCESS
from s3mr.model.success import PartEntry, Success, Totals
from s3mr.model.verification_result import Difference, Proof
from s3mr.ports import Parallel, Published

DIFFERENCES_MAX: Final = 100  # that are named; those beyond are counted
_WIDTH: Final = 8  # parts read at once
_HIDDEN: Final = ("_", ".")

Read = Callable[[int], object]  # told how many bytes more were read; from several threads


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of an output from elsewhere: from the record of its job."""

    job_id: str
    totals: Totals
    parts: int


def verify(
    published: Published,
    parallel: Parallel,
    *,
    expected: Expected | None = None,
    begin: Callable[[Success], object] = lambda _success: None,
    read: Read = lambda _bytes: None,
) -> Proof:
    """Compare an output with its ``_SUCCESS``, and that with what is ``expected``; return what was found.

    ``begin`` is told what is going to be read, then ``read`` how many bytes of it were.

    Raises:
        RequestError: there is no ``_SUCCESS``, and nobody says that there should be; or something must not be read.
        TransientError: a service failed; nothing is proven, one way or the other.
    """
    notes = _Notes()
    success = _success(published, notes, expected)
    if success is None:
        return notes.proof(job_id=expected.job_id if expected else None)
    begin(success)
    if expected:
        _compare_with_job(success, expected, notes)
    for seen in parallel.map(lambda part: _read_part(published, part, read), success.parts, width=_WIDTH):
        notes.add_part(seen)
    _compare_totals(success, notes)
    named = {part.name for part in success.parts}
    for name in published.names():
        if name not in named and not name.startswith(_HIDDEN):
            notes.add(_spelled(name), "existence", "nothing", "an object" if not name.endswith("/") else "objects")
    return notes.proof(job_id=success.job_id)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a part turned out to be."""

    part: PartEntry
    size_bytes: int = 0
    records: int = 0
    crc32c: str = ""
    trouble: str | None = None  # in place of all others: why it could not be read


class _Notes:
    """What was read, and what differed, as far as there is room for it."""

    def __init__(self) -> None:
        self.parts = self.records = self.size_bytes = self._differing = 0
        self._differences: list[Difference] = []

    def add(self, name: str, what: str, expected: str | int, found: str | int) -> None:
        self._differing += 1
        if len(self._differences) < DIFFERENCES_MAX:
            self._differences.append(Difference(name=name, what=what, expected=expected, found=found))

    def compare(self, name: str, what: str, expected: str | int, found: str | int) -> None:
        if expected != found:
            self.add(name, what, expected, found)

    def add_part(self, seen: _Seen) -> None:
        part = seen.part
        if seen.trouble is not None:
            self.add(part.name, "existence", f"{part.size_bytes} bytes", seen.trouble)
            return
        self.parts += 1
        self.records += seen.records
        self.size_bytes += seen.size_bytes
        for what in ("size_bytes", "records", "crc32c"):
            self.compare(part.name, what, getattr(part, what), getattr(seen, what))

    def proof(self, *, job_id: str | None) -> Proof:
        return Proof(
            job_id=job_id,
            proven=not self._differing,
            parts=self.parts,
            records=self.records,
            size_bytes=self.size_bytes,
            differences=tuple(self._differences),
            differences_count=self._differing,
        )


def _success(published: Published, notes: _Notes, expected: Expected | None) -> Success | None:
    """Read ``_SUCCESS``; where it is not what s3mr writes, note that."""
    blocks = published.stream(SUCCESS)
    if blocks is None:
        if expected is None:
            raise RequestError(f"not committed: there is no {SUCCESS} in {published.place}")
        notes.add(SUCCESS, "existence", f"of job {expected.job_id}", "nothing")
        return None
    try:
        return Success.decode(_bounded(blocks))
    except (ValueError, InvariantError) as error:
        notes.add(SUCCESS, "content", "what s3mr writes", str(error))
        return None


def _bounded(blocks: Iterator[bytes]) -> bytes:
    content = bytearray()
    for block in blocks:
        content += block
        if len(content) > limits.SUCCESS_BYTES_MAX:
            raise ValueError(f"more than {limits.SUCCESS_BYTES_MAX} bytes")
    return bytes(content)


def _read_part(published: Published, part: PartEntry, read: Read) -> _Seen:
    """Read a part whole, in bounded memory."""
    size_bytes = records = crc32c = 0
    try:
        blocks = published.stream(part.name)
        if blocks is None:
            return _Seen(part, trouble="nothing")
        for block in blocks:
            size_bytes += len(block)
            records += block.count(b"\n")  # a line is one pair, always
            crc32c = google_crc32c.extend(crc32c, block)
            read(len(block))
    except InvariantError as error:
        return _Seen(part, trouble=str(error))
    return _Seen(part, size_bytes, records, f"{crc32c:08x}")


def _spelled(name: str) -> str:
    """A name that anybody may have chosen, fit to be printed."""
    return name if name.isprintable() else ascii(name)


def _compare_with_job(success: Success, expected: Expected, notes: _Notes) -> None:
    notes.compare(SUCCESS, "job_id", expected.job_id, success.job_id)
    notes.compare(SUCCESS, "parts", expected.parts, len(success.parts))
    for what in Totals.model_fields:
        notes.compare(SUCCESS, what, getattr(expected.totals, what), getattr(success.counters, what))


def _compare_totals(success: Success, notes: _Notes) -> None:
    """Compare what ``_SUCCESS`` says of the whole with what it says of the parts."""
    notes.compare(SUCCESS, "records_out", sum(part.records for part in success.parts), success.counters.records_out)
    notes.compare(SUCCESS, "bytes_out", sum(part.size_bytes for part in success.parts), success.counters.bytes_out)
