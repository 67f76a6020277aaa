"""What user code leaves outside of its own folder, where the next one's could find it. Nothing of that is ever deleted.

It looks into the folders that everybody may write to. In Lambda, nothing else can be written, and nobody else is there.
On another machine, others write there, too. A file's group says whose it is, if user code could be given a group of its
own; otherwise its owner does.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHARED: Final = [Path("/", *names) for names in (("tmp",), ("var", "tmp"), ("dev", "shm"), ("dev", "mqueue"))]


@dataclass(frozen=True, slots=True)
class LeftoverFiles:
    """The folders that all share. ``own`` lies in one of them, and is passed over; ``group`` is that of user code."""

    own: Path
    group: int | None

    def seen(self) -> frozenset[tuple[str, int, int]]:
        """Return what lies there now that may be user code's: name, number and time of its last change."""
        found = []
        for folder in {os.path.realpath(one) for one in (*_SHARED, Path(tempfile.gettempdir()))}:
            try:
                entries = list(os.scandir(folder))
            except OSError:  # there is none, or nobody may look into it
                continue
            for entry in entries:
                if entry.path == os.path.realpath(self.own):
                    continue
                try:
                    stat = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # its owner has removed it just now
                    continue
                if stat.st_gid == self.group if self.group is not None else stat.st_uid == os.geteuid():
                    found.append((entry.path, stat.st_ino, stat.st_ctime_ns))
        return frozenset(found)
