"""Write output to a folder of this machine, published by one atomic rename.

1. Workers write ``<parent>/.<name>.s3mr-<job>/part-<Y>.<worker>``, beside the target and on its file system.
2. The commit renames the winners' parts there to ``part-<Y>``, removes all other files, and writes ``_SUCCESS``.
3. It renames the folder to the target, which is absent or empty. So the output appears completely, or not at all.

A crash before step 3 leaves a folder with a leading dot and no output; after step 3, the output is complete. Files that
a zombie still writes under its worker's name are swept from the target after the rename. After that, the folder to
which it could write does not exist any more.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import google_crc32c

from s3mr import limits
from s3mr.adapters.files.folder_cleanup import keep_only, remove_folder, sync_folder, write_durably
from s3mr.adapters.files.os_errors import translated_os
from s3mr.errors import InvariantError, RequestError, S3mrError
from s3mr.model.manifest import Part
from s3mr.model.object_names import SUCCESS, OpenedPart
from s3mr.safe_open import open_at_once
from s3mr.usercode.interpreter_state import umask

_TEMPORARY: Final = re.compile(r"(part-[0-9]+)\.[0-9a-f]{16}")
_TRIES_MAX: Final = 3  # a coordinator that loses a race sees the other's result when it tries again


class FolderOutput:
    """One job's output in ``target``. Workers and the coordinator each create their own object."""

    def __init__(self, target: Path, job_id: str, *, mask: int | None = None) -> None:
        """``target`` is a name from `normal_output`. Links that are created there later are not followed.

        ``mask`` is the umask of new files; None means this process' own.
        """
        self._file_mode = 0o666 & ~(umask() if mask is None else mask)
        self.target = Path(os.path.abspath(target))  # noqa: PTH100 - `Path.absolute` keeps `..`
        self.staging = self.target.parent / f".{self.target.name}.s3mr-{job_id}"

    def check(self, *, deadline_s: float) -> None:  # noqa: ARG002 - a folder keeps open parts for any time
        """Refuse a target that cannot be written, and create the staging folder beside it.

        Missing folders above the target are created, and stay.

        Raises:
            RequestError: the target is a file, is not empty, cannot be replaced, or its parent cannot be written.
        """
        if os.path.ismount(self.target):
            raise RequestError(f"cannot be replaced: {self.target} is a mount point; name a folder below it")
        self.check_empty()
        with translated_os(f"output {self.target}"):
            self.staging.mkdir(parents=True, exist_ok=True)
            if self.target.exists():  # the folder that will replace it gets its mode and owner
                shutil.copymode(self.target, self.staging)
                os.chown(self.staging, self.target.stat().st_uid, self.target.stat().st_gid)
            probe = self.staging / ".probe"
            probe.touch()
            probe.unlink()

    def check_empty(self) -> None:
        """Refuse a target that is not absent or an empty folder.

        Raises:
            RequestError: the target is a file or a link, is not empty, or the current folder is in it.
        """
        with translated_os(f"output {self.target}"):
            if self.target.is_symlink():  # a link that could not be resolved: it points to itself
                raise RequestError(f"not a folder: {self.target} is a link; name another folder, or remove the link")
            if self.target.exists():
                _check_empty_folder(self.target)

    def open_part(self, name: str, *, worker: str, announce: Callable[[str], object]) -> "FolderPartWriter":  # noqa: ARG002 - open parts are found in the staging folder
        """Start a part under the worker's own name."""
        path = self.staging / _temporary_name(name, worker)
        with translated_os(str(path)):
            file = path.open("xb", buffering=limits.MIB)
            os.fchmod(file.fileno(), self._file_mode)  # user code may have changed the mask
            return FolderPartWriter(file, path, name=name, worker=worker)

    def begin_commit(self) -> None:
        """Do nothing: if several jobs write to one folder, the first rename wins."""

    def complete(self, part: Part) -> None:
        """Give a winner's part its final name. Idempotent, also after `publish` and with concurrent calls.

        Raises:
            InvariantError: the part does not exist as reported, or another file has its name.
        """
        temporary = self.staging / _temporary_name(part.name, part.worker)
        if part.upload != temporary.name:
            raise InvariantError(f"{part.name} was reported with a file name that is not its worker's: {part.upload!r}")
        with translated_os(str(self.target / part.name)):
            self._check_staging()
            for _ in range(_TRIES_MAX):
                with suppress(FileNotFoundError):  # another coordinator has moved it since the check
                    if self._complete(part, temporary):
                        return
        raise InvariantError(f"the upload is lost: {temporary} is gone")

    def _complete(self, part: Part, temporary: Path) -> bool:
        final, published = self.staging / part.name, self.target / part.name
        if final.exists():
            _check_same(final, part)
            temporary.unlink(missing_ok=True)
        elif temporary.exists():
            if temporary.stat().st_size != part.size_bytes:
                raise InvariantError(f"{temporary} does not have the {part.size_bytes} bytes that were reported")
            temporary.rename(final)
        elif published.exists():
            _check_same(published, part)
        else:
            return False
        return True

    def discard_open(self, opened: Iterable[OpenedPart]) -> None:  # noqa: ARG002 - only this job has the staging folder
        """Remove the files that workers left under their own names."""
        with translated_os(str(self.staging)):
            _remove_temporary(self.staging)

    def publish(self, success: bytes, names: Collection[str]) -> None:
        """Write ``_SUCCESS``, and rename the folder to the target. Idempotent, also with concurrent calls.

        All other files in the staging folder are removed: user code may have written them.

        Raises:
            InvariantError: the target is not empty any more. The staging folder is removed then.
        """
        with translated_os(f"output {self.target}"):
            self._check_staging()
            for _ in range(_TRIES_MAX):
                if _has_content(self.target / SUCCESS, success):
                    break
                with suppress(FileNotFoundError):  # another coordinator has renamed it since the check
                    self._publish(success, names)
            else:
                raise InvariantError(f"the output of this job is lost: neither {self.staging} nor {self.target} has it")
            _remove_temporary(self.target)
            remove_folder(self.staging)

    def _publish(self, success: bytes, names: Collection[str]) -> None:
        keep_only(self.staging, {*names, SUCCESS})
        if missing := set(names) - {path.name for path in self.staging.iterdir()}:
            raise InvariantError(f"the output of this job is lost: {self.staging / min(missing)} is gone")
        if not _has_content(self.staging / SUCCESS, success):
            write_durably(self.staging / SUCCESS, success)
        sync_folder(self.staging)
        self._rename()
        sync_folder(self.target.parent)

    def withdraw(self, parts: Iterable[Part]) -> None:  # noqa: ARG002 - the staging folder contains all of them
        """Remove the staging folder with everything in it. The target is not touched."""
        with translated_os(str(self.staging)):
            remove_folder(self.staging)

    def _check_staging(self) -> None:
        """Refuse a link instead of the staging folder: it would lead to files that are not this job's."""
        if self.staging.is_symlink():
            raise InvariantError(f"the output of this job is lost: {self.staging} was replaced by a link")

    def _rename(self) -> None:
        try:
            self.staging.rename(self.target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            remove_folder(self.staging)
            raise InvariantError(
                f"another process wrote to the output folder while the job ran: {self.target}; name another folder"
            ) from error


class FolderPartWriter:
    """Writes one part to disk, under its worker's own name."""

    def __init__(self, file: BinaryIO, path: Path, *, name: str, worker: str) -> None:
        self._file = file
        self.path = path
        self._name = name
        self._worker = worker
        self._size_bytes = 0
        self._crc32c = 0

    def write(self, data: bytes) -> None:
        """Append ``data``.

        Raises:
            RequestError: the disk is full. The file is removed then.
        """
        with _removed_on_error(self):
            self._file.write(data)
        self._size_bytes += len(data)
        self._crc32c = google_crc32c.extend(self._crc32c, data)

    def finish(self, *, records: int) -> Part:
        """Make the part durable, and return it."""
        with _removed_on_error(self):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return Part(
            name=self._name,
            upload=self.path.name,
            worker=self._worker,
            etags=(),
            size_bytes=self._size_bytes,
            records=records,
            crc32c=self._crc32c,
        )

    def abandon(self) -> None:
        """Remove the file."""
        with suppress(OSError):  # if the disk is full, flushing the buffer fails, but the descriptor is closed
            self._file.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def _removed_on_error(writer: FolderPartWriter) -> Iterator[None]:
    try:
        with translated_os(f"writing {writer.path}"):
            yield
    except S3mrError:
        writer.abandon()
        raise


def _temporary_name(name: str, worker: str) -> str:
    """Return the file name, and refuse a name that could lead out of the folder."""
    temporary = f"{name}.{worker}"
    if not _TEMPORARY.fullmatch(temporary):
        raise InvariantError(f"not the name of a part and a worker: {temporary!r}")
    return temporary


def _check_empty_folder(target: Path) -> None:
    if not target.is_dir():
        raise RequestError(f"not a folder: {target}; name another folder")
    if Path.cwd().is_relative_to(target):
        raise RequestError(f"cannot be replaced: {target} is the current folder, or above it; name a folder below it")
    if any(target.iterdir()):
        raise RequestError(f"not empty: {target}; name another folder or remove it")


def _check_same(final: Path, part: Part) -> None:
    if not stat.S_ISREG(final.lstat().st_mode):  # opening a pipe would block
        raise InvariantError(f"another object is in the way: {final} is not a regular file")
    crc32c = 0
    with open_at_once(final) as file:
        while block := file.read(limits.MIB):
            crc32c = google_crc32c.extend(crc32c, block)
    if final.stat().st_size != part.size_bytes or crc32c != part.crc32c:
        raise InvariantError(f"another object is in the way: {final} is not what {part.worker} wrote")


def _remove_temporary(folder: Path) -> None:
    """Remove workers' files. Do nothing if the folder does not exist or was replaced by a link or a file."""
    if folder.is_symlink():
        return
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in list(folder.iterdir()):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _has_content(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
