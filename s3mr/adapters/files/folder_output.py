"""Output into a folder of this machine, by one atomic rename.

1. Workers write ``<parent>/.<name>.s3mr-<job>/part-<Y>.<worker>``, beside the target and on its file system.
2. Commit renames the winners' parts there to ``part-<Y>``, removes all else, and writes ``_SUCCESS``.
3. The folder is renamed onto the target, which is absent or empty: the output is there as a whole, or not at all.

A death before 3 leaves a folder with a leading dot and no output; after 3, everything. What a zombie still leaves
under a worker's name is swept from the target after the rename; then there is no folder left that it could write to.
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
_LOOKS_MAX: Final = 3  # a coordinator that is overtaken finds in the next look what the other has done


class FolderOutput:
    """One job's output into ``target``; workers and the coordinator each make their own for the same target."""

    def __init__(self, target: Path, job_id: str, *, mask: int | None = None) -> None:
        """``target``: as `normal_output` names it. Links that somebody lays there later are not followed.

        ``mask`` is that of new files, as the user has it; None: as this process has it now.
        """
        self._file_mode = 0o666 & ~(umask() if mask is None else mask)
        self.target = Path(os.path.abspath(target))  # noqa: PTH100 - `Path.absolute` keeps `..`
        self.staging = self.target.parent / f".{self.target.name}.s3mr-{job_id}"

    def check(self, *, deadline_s: float) -> None:  # noqa: ARG002 - a folder keeps what is in it for as long as it takes
        """Refuse a target that could not be written, and make the staging folder beside it.

        Folders above the target are made, and stay.

        Raises:
            RequestError: the target is a file, is not empty, cannot be replaced, or its parent cannot be written.
        """
        if os.path.ismount(self.target):
            raise RequestError(f"cannot be replaced: {self.target} is a mount point; name a folder below it")
        self.check_empty()
        with translated_os(f"output {self.target}"):
            self.staging.mkdir(parents=True, exist_ok=True)
            if self.target.exists():  # it will be replaced: by a folder that is like it
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
            if self.target.is_symlink():  # it was resolved as far as it leads: to itself
                raise RequestError(f"not a folder: {self.target} is a link; name another folder, or remove the link")
            if self.target.exists():
                _check_empty_folder(self.target)

    def open_part(self, name: str, *, worker: str, announce: Callable[[str], object]) -> "FolderPartWriter":  # noqa: ARG002 - the staging folder holds all that is open
        """Begin a part under the worker's own name."""
        path = self.staging / _temporary_name(name, worker)
        with translated_os(str(path)):
            file = path.open("xb", buffering=limits.MIB)
            os.fchmod(file.fileno(), self._file_mode)  # user code may have changed the mask
            return FolderPartWriter(file, path, name=name, worker=worker)

    def begin_commit(self) -> None:
        """Do nothing: of several jobs that write to one folder, the first to rename its own onto it wins."""

    def complete(self, part: Part) -> None:
        """Give a winner's part its final name. Repeating it is harmless, also after `publish`, and by two at once.

        Raises:
            InvariantError: the part is not there as it was reported, or another one has its name.
        """
        temporary = self.staging / _temporary_name(part.name, part.worker)
        if part.upload != temporary.name:
            raise InvariantError(f"{part.name}: reported under a name that is not its worker's: {part.upload!r}")
        with translated_os(str(self.target / part.name)):
            self._check_staging()
            for _ in range(_LOOKS_MAX):
                with suppress(FileNotFoundError):  # another coordinator has moved it since the look
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

    def discard_open(self, opened: Iterable[OpenedPart]) -> None:  # noqa: ARG002 - the staging folder is this job's alone
        """Remove what workers left under their own names."""
        with translated_os(str(self.staging)):
            _remove_temporary(self.staging)

    def publish(self, success: bytes, names: Collection[str]) -> None:
        """Write ``_SUCCESS`` and rename the whole folder onto the target. Repeating it is harmless, and by two at once.

        Whatever else lies in the staging folder goes: user code may have written it there.

        Raises:
            InvariantError: the target is no longer empty; nothing of this job is left then.
        """
        with translated_os(f"output {self.target}"):
            self._check_staging()
            for _ in range(_LOOKS_MAX):
                if _holds(self.target / SUCCESS, success):
                    break
                with suppress(FileNotFoundError):  # another coordinator has renamed it since the look
                    self._publish(success, names)
            else:
                raise InvariantError(f"the output of this job is lost: neither {self.staging} nor {self.target} has it")
            _remove_temporary(self.target)
            remove_folder(self.staging)

    def _publish(self, success: bytes, names: Collection[str]) -> None:
        keep_only(self.staging, {*names, SUCCESS})
        if missing := set(names) - {path.name for path in self.staging.iterdir()}:
            raise InvariantError(f"the output of this job is lost: {self.staging / min(missing)} is gone")
        if not _holds(self.staging / SUCCESS, success):
            write_durably(self.staging / SUCCESS, success)
        sync_folder(self.staging)
        self._rename()
        sync_folder(self.target.parent)

    def withdraw(self, parts: Iterable[Part]) -> None:  # noqa: ARG002 - the staging folder holds them all
        """Remove the staging folder and everything in it; the target is not touched."""
        with translated_os(str(self.staging)):
            remove_folder(self.staging)

    def _check_staging(self) -> None:
        """Refuse a link in the staging folder's place: what lies behind it is not this job's."""
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
                f"the output was written to by somebody else while the job ran: {self.target}; name another folder"
            ) from error


class FolderPartWriter:
    """One part on its way to disk, under its worker's own name."""

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
            RequestError: the disk is full; what was written is removed.
        """
        with _removed_on_error(self):
            self._file.write(data)
        self._size_bytes += len(data)
        self._crc32c = google_crc32c.extend(self._crc32c, data)

    def finish(self, *, records: int) -> Part:
        """Make the part durable and return it."""
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
        """Remove what was written."""
        with suppress(OSError):  # a full disk refuses the buffer's rest; the descriptor is closed all the same
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
    """Spell the name, and refuse one that could lead out of the folder."""
    spelled = f"{name}.{worker}"
    if not _TEMPORARY.fullmatch(spelled):
        raise InvariantError(f"not the name of a part and a worker: {spelled!r}")
    return spelled


def _check_empty_folder(target: Path) -> None:
    if not target.is_dir():
        raise RequestError(f"not a folder: {target}; name another folder")
    if Path.cwd().is_relative_to(target):
        raise RequestError(f"cannot be replaced: {target} is the current folder, or above it; name a folder below it")
    if any(target.iterdir()):
        raise RequestError(f"not empty: {target}; name another folder or remove it")


def _check_same(final: Path, part: Part) -> None:
    if not stat.S_ISREG(final.lstat().st_mode):  # a pipe would wait for its writer
        raise InvariantError(f"another object is in the way: {final} is not a regular file")
    crc32c = 0
    with open_at_once(final) as file:
        while block := file.read(limits.MIB):
            crc32c = google_crc32c.extend(crc32c, block)
    if final.stat().st_size != part.size_bytes or crc32c != part.crc32c:
        raise InvariantError(f"another object is in the way: {final} is not what {part.worker} wrote")


def _remove_temporary(folder: Path) -> None:
    """Remove workers' files; a folder that is gone holds none, and what has taken its place is not looked into."""
    if folder.is_symlink():
        return
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in list(folder.iterdir()):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
