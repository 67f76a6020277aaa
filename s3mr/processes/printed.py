"""What a child prints, line by line, to whoever wants to show it; nothing of a task is still under way at its end."""

import os
import secrets
import threading
from collections.abc import Callable


class Printed:
    """A pipe for a child's standard error. ``show`` is given each line that is not empty, in a thread of its own."""

    def __init__(self, show: Callable[[str], object]) -> None:
        reading, self.descriptor = os.pipe()
        self._show = show
        self._mark = secrets.token_hex(16)
        self._caught_up = threading.Event()
        threading.Thread(target=self._read, args=(reading,), name="s3mr-printed", daemon=True).start()

    def catch_up(self) -> None:
        """Return when everything that was printed before has been shown: a mark goes through the same pipe."""
        self._caught_up.clear()
        os.write(self.descriptor, f"\n{self._mark}\n".encode())
        self._caught_up.wait()

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                text = line.rstrip("\n")
                if text == self._mark:
                    self._caught_up.set()
                elif text:
                    self._show(text)
