"""Open files that other programs may have replaced by something else."""

import os
from io import FileIO
from pathlib import Path


def open_at_once(path: str | Path) -> FileIO:
    """Open a file for unbuffered reading, without blocking, even if it is a pipe.

    Check the type of the opened file before you read it: it may be a pipe or a device.

    Raises:
        OSError: the file does not exist, or cannot be read.
    """
    return FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
