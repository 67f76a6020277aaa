"""What a child prints, line by line, to whoever wants to show it; nothing of a task is still under way at its end."""

import os
import secrets
import threading
from collections.abc import Callable
from functools import partial

from s3mr import limits

CATCH_UP_S_MAX = 5.0  # a child that has broken its pipe on purpose is not waited for


class PrintedLines:
    """A pipe for one child's standard error. ``show`` is given each line that is not empty, in a thread of its own.

    A line of more than `limits.PRINTED_LINE_MAX` characters is shown as several, so that none of any length is held.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        reading, self.descriptor = os.pipe()
        self._show = show
        self._mark = secrets.token_hex(16)
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(reading,), name="s3mr-printed", daemon=True)
        self._thread.start()

    def catch_up(self) -> None:
        """Return when everything that was printed before has been shown: a mark goes through the same pipe."""
        self._caught_up.clear()
        try:
            os.write(self.descriptor, f"\n{self._mark}\n".encode())
        except BlockingIOError:  # the child has made the pipe refuse what does not fit
            return
        self._caught_up.wait(CATCH_UP_S_MAX)

    def close(self) -> None:
        """Show the last of it; nobody prints here any more."""
        os.close(self.descriptor)
        self._thread.join(CATCH_UP_S_MAX)

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            for line in iter(partial(lines.readline, limits.PRINTED_LINE_MAX), ""):
                text = line.rstrip("\n")
                if text == self._mark:  # it stands on a line of its own, so that it is never cut
                    self._caught_up.set()
                elif text:
                    self._show(text)
