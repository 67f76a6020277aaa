"""Translate the operating system's errors, once."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Final

from s3mr.errors import RequestError, TransientError

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING: Final = {errno.ENOENT}
_MISTAKEN: Final = {errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


@contextmanager
def translated_os(what: str) -> Iterator[None]:
    """Translate an `OSError` in this context. ``what`` names the file or folder.

    Raises:
        RequestError: no space or quota, no permission, no such file, or a name that is not possible.
        TransientError: anything else, such as an error of the device.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise RequestError(f"disk full: {what} ({reason})") from error
        if error.errno in _DENIED:
            raise RequestError(f"permission denied: {what} ({reason})") from error
        if error.errno in _MISSING:
            raise RequestError(f"no such file or directory: {what}") from error
        if error.errno in _MISTAKEN:
            raise RequestError(f"{what}: {reason}") from error
        raise TransientError(f"{what}: {reason}") from error


def make_folder(folder: str | PathLike[str]) -> None:
    """Make a folder, with its parents, unless it exists."""
    with translated_os(f"make the folder {fspath(folder)}"):
        Path(folder).mkdir(parents=True, exist_ok=True)
