"""Opening files whose names others may have given to something else meanwhile."""

import os
from io import FileIO
from pathlib import Path


def open_at_once(path: str | Path) -> FileIO:
    """Open a file to read it, unbuffered, without waiting: a pipe in its place would wait for a writer.

    Look at what was opened before you read it: it may be a pipe or a device.

    Raises:
        OSError: it is not there, or must not be read.
    """
    return FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
