"""Find and read inputs that are files: paths, folders and glob patterns."""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from s3mr import limits
from s3mr.adapters import input_names
from s3mr.adapters.files.os_errors import translated_os
from s3mr.adapters.input_names import Candidate
from s3mr.errors import RequestError
from s3mr.model.plan import InputObject
from s3mr.ports import Found
from s3mr.safe_open import open_at_once


class LocalInputs:
    """Finds and reads files. Names that are not UTF-8 become surrogate escapes."""

    def find(self, arguments: Sequence[str]) -> Found:
        """Expand files, folders (with everything below) and globs, in the order of the arguments.

        Names below a folder or a pattern that begin with ``_`` or ``.`` are skipped and counted. A name that is found
        twice is read once. Two names of one file, such as two links, are two inputs.

        Raises:
            RequestError: an argument matches nothing, names something that cannot be read, or there are no inputs.
        """
        return input_names.collect(arguments, self.expand)

    def expand(self, argument: str) -> Iterator[Candidate]:
        """Yield the candidates for one argument. Their identity is the absolute path, in which links are kept."""
        if os.path.lexists(argument) or not input_names.has_magic(argument):
            yield from _path(argument, hidden=False)
            return
        found = glob.glob(argument, recursive=True, include_hidden=True)  # noqa: PTH207 - keeps names as given
        matches = sorted(found, key=os.fsencode)
        if not matches:
            raise RequestError(f"no input: nothing matches the pattern {argument}")
        below, asked = len(input_names.literal_folder(argument)), input_names.hidden_asked(argument)
        for match in matches:
            yield from _path(match, hidden=input_names.is_hidden(match[below:], asked=asked))

    def look_up(self, source: str) -> InputObject | None:
        """Return the file as it is now; None if there is no file with that name."""
        with translated_os(source):
            try:
                found = Path(source).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return InputObject(source=source, size_bytes=found.st_size, etag=_etag(found))

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` of the file in blocks of at most 1 MiB.

        Raises:
            RequestError: it has vanished, cannot be read, or has changed since it was planned.
        """
        with translated_os(source):
            file = open_at_once(source)
        with file:
            _check_unchanged(file.fileno(), etag, source)
            file.seek(start)
            while start < stop:
                with translated_os(source):
                    block = file.read(min(limits.MIB, stop - start))
                if not block:
                    raise RequestError(f"changed since it was planned: {source} ends before byte {stop}")
                start += len(block)
                yield block
            _check_unchanged(file.fileno(), etag, source)


def _path(path: str, *, hidden: bool) -> Iterator[Candidate]:
    with translated_os(path):
        found, identity = Path(path).stat(), _identity(path)
    if stat.S_ISDIR(found.st_mode):
        yield from _folder(path, identity, hidden=hidden, above=frozenset())
    elif hidden:
        yield Candidate(identity, None)
    else:
        yield _file(path, identity, found)


def _identity(path: str) -> str:
    """Return the absolute path, without following a link in its last component.

    ``..`` behind a link leads elsewhere than the text says, so a path with ``..`` in it is resolved up to there.
    """
    folder, name = os.path.split(path.rstrip("/"))
    if ".." in path.split("/"):
        return os.path.realpath(path) if name in ("", ".", "..") else f"{os.path.realpath(folder)}/{name}"
    return os.path.abspath(path)  # noqa: PTH100 - `Path.absolute` keeps dots


def _folder(path: str, identity: str, *, hidden: bool, above: frozenset[tuple[int, int]]) -> Iterator[Candidate]:
    """Yield everything below, in the order of whole relative paths, like a listing of S3.

    A link to one of the folders ``above`` is not followed.
    """
    with translated_os(path):
        found = Path(path).stat()
    if (inode := (found.st_dev, found.st_ino)) in above:
        return
    with translated_os(path), os.scandir(path) as entries:
        ordered = sorted(entries, key=lambda entry: _order(path, entry))
    for entry in ordered:
        below, below_identity = f"{path.rstrip('/')}/{entry.name}", f"{identity.rstrip('/')}/{entry.name}"
        below_hidden = hidden or input_names.is_hidden(entry.name)
        if entry.is_dir():
            yield from _folder(below, below_identity, hidden=below_hidden, above=above | {inode})
        elif below_hidden:
            yield Candidate(below_identity, None)
        else:
            with translated_os(below):
                found = entry.stat()
            yield _file(below, below_identity, found)


def _order(path: str, entry: os.DirEntry[str]) -> bytes:
    """Return the sort key of an entry. In a relative path, a slash follows the name of a folder."""
    with translated_os(f"{path.rstrip('/')}/{entry.name}"):
        return os.fsencode(f"{entry.name}/" if entry.is_dir() else entry.name)


def _file(path: str, identity: str, found: os.stat_result) -> Candidate:
    if not stat.S_ISREG(found.st_mode):
        raise RequestError(f"not a regular file: {path} is a pipe, a socket or a device; copy its content to a file")
    if not os.access(path, os.R_OK):
        raise RequestError(f"permission denied: {path}")
    return Candidate(identity, InputObject(source=path, size_bytes=found.st_size, etag=_etag(found)))


def _etag(found: os.stat_result) -> str:
    """Return a string that changes with the content. It includes ctime, which users cannot set back, unlike mtime."""
    return f"{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_size}-{found.st_ino}"


def _check_unchanged(descriptor: int, etag: str, source: str) -> None:
    if _etag(os.fstat(descriptor)) != etag:
        raise RequestError(f"changed since it was planned: {source}; run the job again")
