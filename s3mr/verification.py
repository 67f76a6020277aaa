"""Verify a committed output against its ``_SUCCESS``, by reading all its objects.

``_SUCCESS`` lists the parts with their sizes, records and CRC-32C. Each part is read completely, so nothing is taken on
trust. Objects that are not parts are reported, too, except for names that begin with ``_`` or ``.``: a job that reads
this output skips them.
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

DIFFERENCES_MAX: Final = 100  # listed; further differences are only counted
_WIDTH: Final = 8  # parts read at once
_HIDDEN: Final = ("_", ".")

Read = Callable[[int], object]  # called with the number of bytes just read, from several threads


@dataclass(frozen=True, slots=True)
class Expected:
    """What the record of a job says about its output."""

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
    """Compare an output with its ``_SUCCESS``, and its ``_SUCCESS`` with ``expected``. Return the result.

    ``begin`` is called with the ``_SUCCESS`` before the parts are read, ``read`` with the number of bytes just read.

    Raises:
        RequestError: there is no ``_SUCCESS`` and nothing is expected, or access is denied.
        TransientError: a service failed. The result is unknown.
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
            notes.add(_printable(name), "existence", "nothing", "an object" if not name.endswith("/") else "objects")
    return notes.proof(job_id=success.job_id)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The result of reading one part."""

    part: PartEntry
    size_bytes: int = 0
    records: int = 0
    crc32c: str = ""
    problem: str | None = None  # why it could not be read; the other results are 0 then


class _Notes:
    """Collects what was read, and the differences."""

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
        if seen.problem is not None:
            self.add(part.name, "existence", f"{part.size_bytes} bytes", seen.problem)
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
    """Read ``_SUCCESS``. If it is missing or not valid, note a difference and return None."""
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
            return _Seen(part, problem="nothing")
        for block in blocks:
            size_bytes += len(block)
            records += block.count(b"\n")  # each line is exactly one pair
            crc32c = google_crc32c.extend(crc32c, block)
            read(len(block))
    except InvariantError as error:
        return _Seen(part, problem=str(error))
    return _Seen(part, size_bytes, records, f"{crc32c:08x}")


def _printable(name: str) -> str:
    """Return a name in a form that is safe to print."""
    return name if name.isprintable() else ascii(name)


def _compare_with_job(success: Success, expected: Expected, notes: _Notes) -> None:
    notes.compare(SUCCESS, "job_id", expected.job_id, success.job_id)
    notes.compare(SUCCESS, "parts", expected.parts, len(success.parts))
    for what in Totals.model_fields:
        notes.compare(SUCCESS, what, getattr(expected.totals, what), getattr(success.counters, what))


def _compare_totals(success: Success, notes: _Notes) -> None:
    """Compare the totals in ``_SUCCESS`` with the sums over its parts."""
    notes.compare(SUCCESS, "records_out", sum(part.records for part in success.parts), success.counters.records_out)
    notes.compare(SUCCESS, "bytes_out", sum(part.size_bytes for part in success.parts), success.counters.bytes_out)
