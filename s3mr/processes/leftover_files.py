"""Find files that user code has left outside its own folder, where the next user code could find them.

It searches the folders that everybody may write to, and deletes nothing. In Lambda, user code can write nowhere else,
and no other program writes there. On other machines, other programs do. If user code has its own group, a file's
group says whether it is user code's; otherwise the file's owner does.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHARED: Final = [Path("/", *names) for names in (("tmp",), ("var", "tmp"), ("dev", "shm"), ("dev", "mqueue"))]


@dataclass(frozen=True, slots=True)
class LeftoverFiles:
    """Scans the shared folders. ``own`` is the folder to skip in them; ``group`` is the group of user code."""

    own: Path
    group: int | None

    def scan(self) -> frozenset[tuple[str, int, int]]:
        """Return the files that may be user code's, as (path, inode, time of the last change in ns)."""
        found = []
        for folder in {os.path.realpath(one) for one in (*_SHARED, Path(tempfile.gettempdir()))}:
            try:
                entries = list(os.scandir(folder))
            except OSError:  # it does not exist, or cannot be listed
                continue
            for entry in entries:
                if entry.path == os.path.realpath(self.own):
                    continue
                try:
                    stat = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed since the listing
                    continue
                if stat.st_gid == self.group if self.group is not None else stat.st_uid == os.geteuid():
                    found.append((entry.path, stat.st_ino, stat.st_ctime_ns))
        return frozenset(found)
