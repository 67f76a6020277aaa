"""Clean folders to which other processes may still write, and write files that survive a power failure."""

import errno
import os
import shutil
from collections.abc import Container
from pathlib import Path
from typing import Final

_REMOVALS_MAX: Final = 5  # a zombie may add a file while the folder is being removed


def keep_only(folder: Path, names: Container[str]) -> None:
    """Remove everything except regular files with these names."""
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            remove_folder(path)
        elif path.name not in names or path.is_symlink() or not path.is_file():
            path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder with everything in it. If it was replaced by a file or a link, remove only that."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for removals_left in range(_REMOVALS_MAX - 1, -1, -1):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not removals_left:
                raise
        else:
            return


def write_durably(path: Path, data: bytes) -> None:
    """Write a file. It is on disk on return."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to disk. They are on disk on return."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
