"""Fake inputs and outputs in memory, for tests. They behave like S3."""

import hashlib
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import google_crc32c

from s3mr import limits
from s3mr.adapters import input_names
from s3mr.adapters.input_names import Candidate
from s3mr.errors import InvariantError, RequestError, S3mrError
from s3mr.model.manifest import Part
from s3mr.model.object_names import COMMITTING, PART_PREFIX, SUCCESS, OpenedPart
from s3mr.model.plan import InputObject
from s3mr.ports import Found


class MemoryInputs:
    """Objects by name. An argument is a name, or a prefix of whole components. You can change ``objects``."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.objects = dict(objects)

    def find(self, arguments: Sequence[str]) -> Found:
        """Expand names and prefixes."""
        return input_names.collect(arguments, self.expand)

    def expand(self, argument: str) -> Iterator[Candidate]:
        """Yield the candidates for one argument."""
        if argument in self.objects:
            yield Candidate(argument, self._object(argument))
            return
        prefix = argument.rstrip("/") + "/"
        below = sorted(source for source in self.objects if source.startswith(prefix))
        if not below:
            raise RequestError(f"no input: there is no object and no prefix {argument}")
        for source in below:
            hidden = input_names.is_hidden(source.removeprefix(prefix))
            yield Candidate(source, None if hidden else self._object(source))

    def look_up(self, source: str) -> InputObject | None:
        """Return the object as it is now."""
        return self._object(source) if source in self.objects else None

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` in blocks of at most 1 MiB."""
        if source not in self.objects:
            raise RequestError(f"vanished since it was planned: {source}")
        if self._object(source).etag != etag:
            raise RequestError(f"changed since it was planned: {source}; run the job again")
        data = self.objects[source][start:stop]
        yield from (data[at : at + limits.MIB] for at in range(0, len(data), limits.MIB))

    def _object(self, source: str) -> InputObject:
        data = self.objects[source]
        return InputObject(source=source, size_bytes=len(data), etag=hashlib.sha256(data).hexdigest())


@dataclass(slots=True)
class _Upload:
    name: str
    identity: str
    data: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class MemoryFolder:
    """A folder for outputs, shared by all jobs that write to it."""

    objects: dict[str, bytes] = field(default_factory=dict)  # visible
    identities: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, _Upload] = field(default_factory=dict)  # open, not visible
    numbers: Iterator[int] = field(default_factory=itertools.count)
    published_by: str | None = None  # the job that has put ``_SUCCESS``
    uploads_kept_s: float = math.inf


class MemoryOutput:
    """One job's output in a `MemoryFolder`."""

    def __init__(self, folder: MemoryFolder, job_id: str) -> None:
        self._folder = folder
        self._job_id = job_id

    def check(self, *, deadline_s: float) -> None:
        """Refuse a folder that is not empty, or keeps open uploads for less than ``deadline_s``."""
        self.check_empty()
        if deadline_s > self._folder.uploads_kept_s:
            raise RequestError(f"--deadline: open uploads are kept for {self._folder.uploads_kept_s:g} s")

    def check_empty(self) -> None:
        """Refuse a folder that is not empty."""
        if self._folder.objects:
            raise RequestError("not empty: name another folder or remove what is there")

    def open_part(self, name: str, *, worker: str, announce: Callable[[str], object]) -> "MemoryPartWriter":
        """Start an upload of the part, and announce it."""
        number = f"upload-{next(self._folder.numbers)}"
        self._folder.uploads[number] = _Upload(name, self._identity(name, worker))
        writer = MemoryPartWriter(self._folder, number, worker=worker)
        try:
            announce(number)
        except S3mrError:
            writer.abandon()
            raise
        return writer

    def begin_commit(self) -> None:
        """Put ``_COMMITTING``, unless there is another job's ``_COMMITTING`` or ``_SUCCESS``."""
        if self._folder.objects.setdefault(COMMITTING, self._commitment) != self._commitment:
            raise InvariantError(f"another job commits here: {COMMITTING} of {self._folder.objects[COMMITTING]!r}")
        if SUCCESS in self._folder.objects and self._folder.published_by != self._job_id:
            self._end_commit()
            raise InvariantError(f"another job's output is in the way: {SUCCESS}")

    def complete(self, part: Part) -> None:
        """Complete a winner's upload."""
        existing = self._folder.identities.get(part.name)
        if self._is_ours(part):
            return
        if part.name in self._folder.objects:
            raise InvariantError(f"another object is in the way: {part.name} of {existing}")
        upload = self._folder.uploads.pop(part.upload, None)
        if upload is None:
            raise InvariantError(f"the upload is lost: {part.name}")
        self._folder.objects[part.name] = bytes(upload.data)
        self._folder.identities[part.name] = upload.identity

    def discard_open(self, opened: Iterable[OpenedPart]) -> None:
        """Abort exactly these uploads."""
        for one in opened:
            self._folder.uploads.pop(one.upload, None)

    def publish(self, success: bytes, names: Collection[str]) -> None:
        """Put ``_SUCCESS``, unless there is another job's ``_SUCCESS`` or part, and end the commit."""
        objects = self._folder.objects
        strays = [name for name in objects if name.startswith(PART_PREFIX) and name not in names]
        if strays and objects.get(SUCCESS) != success:
            raise InvariantError(f"not a part of this job, and in the way: {strays[0]}")
        if objects.setdefault(SUCCESS, success) != success:
            raise InvariantError(f"another job's output is in the way: {SUCCESS}")
        self._folder.published_by = self._job_id
        self._end_commit()

    def withdraw(self, parts: Iterable[Part]) -> None:
        """Delete the completed ones of ``parts``, and end the commit."""
        for part in parts:
            if self._is_ours(part):
                del self._folder.objects[part.name], self._folder.identities[part.name]
        self._end_commit()

    @property
    def _commitment(self) -> bytes:
        return self._job_id.encode()

    def _end_commit(self) -> None:
        if self._folder.objects.get(COMMITTING) == self._commitment:
            del self._folder.objects[COMMITTING]

    def _is_ours(self, part: Part) -> bool:
        return (
            self._folder.identities.get(part.name) == self._identity(part.name, part.worker)
            and len(self._folder.objects[part.name]) == part.size_bytes
        )

    def _identity(self, name: str, worker: str) -> str:
        return f"{self._job_id}/{name}/{worker}"


class MemoryPartWriter:
    """Writes one part into an open upload."""

    def __init__(self, folder: MemoryFolder, number: str, *, worker: str) -> None:
        self._folder = folder
        self._number = number
        self._worker = worker

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        self._upload().data.extend(data)

    def finish(self, *, records: int) -> Part:
        """Return what is needed to complete the upload."""
        upload = self._upload()
        data = bytes(upload.data)
        return Part(
            name=upload.name,
            upload=self._number,
            worker=self._worker,
            etags=(hashlib.md5(data, usedforsecurity=False).hexdigest(),),
            size_bytes=len(data),
            records=records,
            crc32c=google_crc32c.value(data),
        )

    def abandon(self) -> None:
        """Abort the upload."""
        self._folder.uploads.pop(self._number, None)

    def _upload(self) -> _Upload:
        if self._number not in self._folder.uploads:
            raise InvariantError(f"the upload was aborted: {self._number}")
        return self._folder.uploads[self._number]


class MemoryPublished:
    """The visible output in a `MemoryFolder`."""

    place = "memory"

    def __init__(self, folder: MemoryFolder) -> None:
        self._folder = folder

    def names(self) -> Iterator[str]:
        """Yield the names, sorted."""
        yield from sorted({name[: name.find("/") + 1] or name for name in self._folder.objects})

    def stream(self, name: str) -> Iterator[bytes] | None:
        """Return an object's bytes; None if there is none."""
        data = self._folder.objects.get(name)
        return None if data is None else self._blocks(name, data)

    def _blocks(self, name: str, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), limits.MIB):
            if self._folder.objects.get(name) is not data:
                raise InvariantError("it was deleted or was replaced while it was read")
            yield data[at : at + limits.MIB]
