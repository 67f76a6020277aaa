"""Pass on the lines that a child prints. When a task ends, all its lines have been passed on."""

import os
import secrets
import threading
from collections.abc import Callable
from functools import partial

from s3mr import limits

CATCH_UP_S_MAX = 5.0  # a child may have broken its pipe on purpose


class PrintedLines:
    """A pipe for one child's standard error. A thread calls ``show`` with each line that is not empty.

    A line of more than `limits.PRINTED_LINE_MAX` characters is split, so that memory stays bounded.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        reading, self.descriptor = os.pipe()
        self._show = show
        self._mark = secrets.token_hex(16)
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(reading,), name="s3mr-printed", daemon=True)
        self._thread.start()

    def catch_up(self) -> None:
        """Return when everything printed so far has been shown. It sends a mark through the same pipe."""
        self._caught_up.clear()
        try:
            os.write(self.descriptor, f"\n{self._mark}\n".encode())
        except BlockingIOError:  # the child has made the pipe non-blocking, and it is full
            return
        self._caught_up.wait(CATCH_UP_S_MAX)

    def close(self) -> None:
        """Show the remaining lines, and close the pipe."""
        os.close(self.descriptor)
        self._thread.join(CATCH_UP_S_MAX)

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            for line in iter(partial(lines.readline, limits.PRINTED_LINE_MAX), ""):
                text = line.rstrip("\n")
                if text == self._mark:  # it is a line of its own, so it is never split
                    self._caught_up.set()
                elif text:
                    self._show(text)
