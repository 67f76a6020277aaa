"""Bundle the user's code as a zip named by its content, and unpack it. Names inside a zip are never trusted."""

import hashlib
import io
import os
import re
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Final

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.safe_open import open_at_once

_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first date of the zip format
_MODE: Final = stat.S_IFREG | 0o644
_UNIX: Final = 3  # "version made by": the mode above is a Unix mode
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_ENCRYPTED: Final = 0x1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NAME_BYTES_MAX: Final = 255  # of one path component: the limit of file systems
_DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError),
    ValueError,  # a name that is not UTF-8, an offset before the start
)


def make_bundle(files: Mapping[str, Path]) -> bytes:
    """Return a zip of ``files``, which are paths by their names in the zip. The same files give the same bytes.

    Raises:
        RequestError: the files are too many or too large, cannot be read, or have names that are not allowed.
    """
    _check_names(files, RequestError)
    try:
        _check_size(len(files), sum(path.stat().st_size for path in files.values()), RequestError)
        bundle = _zip(files)  # checks sizes again: a file may grow, and some report size 0 but are endless
    except OSError as error:
        raise RequestError(f"the code cannot be read: {error}") from error
    if len(bundle) > limits.BUNDLE_BYTES_MAX:
        raise RequestError(
            f"the code is too large: {len(bundle):,} bytes compressed, at most {limits.BUNDLE_BYTES_MAX:,}"
        )
    return bundle


def open_bundle(data: bytes, sha256: str, folder: Path) -> Path:
    """Unpack the bundle atomically to ``folder/<sha256>``, and return that path. Reuse it if it exists.

    The zip is not opened before its SHA-256 is verified.

    Raises:
        InvariantError: the content does not match its SHA-256, or the zip has entries that `make_bundle` never writes.
        RequestError: the disk is full, or ``folder`` belongs to another user.
    """
    if len(data) > limits.BUNDLE_BYTES_MAX:
        raise InvariantError(f"the bundle is too large: {len(data):,} bytes, at most {limits.BUNDLE_BYTES_MAX:,}")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InvariantError(f"the bundle is damaged: its SHA-256 is not {sha256}")
    target = folder / sha256
    try:
        _make_own(folder)
        if target.is_dir():
            return target
        staging = Path(tempfile.mkdtemp(prefix=f".{sha256[:16]}-", dir=folder))
        try:
            _unpack(data, staging)
            _rename(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise RequestError(f"the bundle cannot be unpacked to {folder}: {error.strerror or error}") from error
    return target


def _zip(files: Mapping[str, Path]) -> bytes:
    data, left_bytes = io.BytesIO(), limits.BUNDLE_UNZIPPED_BYTES_MAX
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry, content = _entry(name), _read(files[name], left_bytes)
            left_bytes -= len(content)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return data.getvalue()


def _read(path: Path, bytes_max: int) -> bytes:
    """Read a regular file. A pipe would block, and a device might never end.

    Raises:
        RequestError: it is not a regular file, or has more than ``bytes_max``.
    """
    with open_at_once(path) as raw, BufferedReader(raw) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise RequestError(f"the code cannot be read: {path} is not a regular file; take it out of the job's code")
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise RequestError(f"the code is too large: with {path}, more than {limits.BUNDLE_UNZIPPED_BYTES_MAX:,} bytes")
    return content


def _entry(name: str) -> zipfile.ZipInfo:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise RequestError(f"a file of the job's code has a name that is not UTF-8: {name!r}; rename it") from None
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system, entry.external_attr = _UNIX, _MODE << 16
    return entry


def _make_own(folder: Path) -> None:
    """Create the folder of all bundles. Code is imported from it, so another user must not own it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise RequestError(f"bundles cannot be unpacked to {folder}: it belongs to another user; set TMPDIR")


def _unpack(data: bytes, folder: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            for entry in entries:
                _extract(archive, entry, folder / entry.filename)
    except _DAMAGED as error:
        raise InvariantError(f"the bundle is not a valid zip: {error}") from error


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Write one file in blocks, so that a false size in its header wastes neither memory nor disk.

    zipfile never returns more than the size in the header, and `_check_size` has checked the sum of these sizes. Less
    than that is refused here.
    """
    size_bytes = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as content, path.open("xb") as file:
        while block := content.read(limits.MIB):
            size_bytes += file.write(block)
    if size_bytes != entry.file_size:
        raise InvariantError(f"a file in the bundle is not as large as its header says: {entry.filename!a}")


def _rename(staging: Path, target: Path) -> None:
    try:
        staging.rename(target)
    except OSError:
        if not target.is_dir():  # otherwise another process has unpacked the same bundle first
            raise


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.orig_filename for entry in entries]  # `filename` ends at a NUL
    if len(set(names)) != len(names):
        raise InvariantError("the bundle has two files of the same name")
    _check_names(names, InvariantError)
    _check_size(len(entries), sum(entry.file_size for entry in entries), InvariantError)
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
            raise InvariantError(f"the bundle has an entry that is not a plain file: {entry.filename!a}")


def _check_names(names: Iterable[str], error: type[InvariantError | RequestError]) -> None:
    names = sorted(frozenset(names))
    folded: dict[str, str] = {}
    for name in names:
        if not _is_plain(name):
            raise error(f"not a valid name for a file in a bundle: {name!a}; rename it")
        other = folded.setdefault(_folded(name), name)
        if other != name:  # a laptop's file system may ignore case, or the encoding of accents
            raise error(f"a bundle cannot have two names that differ only in case: {other!a} and {name!a}; rename one")
    for name in names:
        if any(_folded(str(parent)) in folded for parent in PurePosixPath(name).parents):
            raise error(f"a bundle cannot have a file below a file: {name!a}; rename one")


def _is_plain(name: str) -> bool:
    """Whether ``name`` is a relative path that means the same on every system and cannot leave its folder."""
    path = PurePosixPath(name)
    return (
        str(path) == name
        and name not in ("", ".")
        and not path.is_absolute()
        and ".." not in path.parts
        and not ("\\" in name or "\0" in name or _DRIVE.match(name))
        and all(len(part.encode("utf-8", "surrogateescape")) <= _NAME_BYTES_MAX for part in path.parts)
    )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _check_size(count: int, size_bytes: int, error: type[InvariantError | RequestError]) -> None:
    if count > limits.BUNDLE_FILES_MAX:
        raise error(f"the code has too many files: {count:,}, at most {limits.BUNDLE_FILES_MAX:,}")
    if size_bytes > limits.BUNDLE_UNZIPPED_BYTES_MAX:
        raise error(f"the code is too large: {size_bytes:,} bytes, at most {limits.BUNDLE_UNZIPPED_BYTES_MAX:,}")
