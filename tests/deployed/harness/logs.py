"""Write what functions print to their log groups, with the permissions of their own roles, as Lambda does."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

LINES_MAX: Final = 500
GATHER_S: Final = 0.05


class LogStream:
    """One environment's stream. It batches lines for a moment, and drops them if the role cannot write them."""

    def __init__(self, client: Callable[[], Any], group: str, stream: str) -> None:
        self._client = client
        self._group = group
        self._stream = stream
        self._lines: list[dict[str, Any]] = []
        self._created = False
        self._changed = threading.Condition()
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="logs", daemon=True)
        self._writer.start()

    def print(self, line: str) -> None:
        """Add a line."""
        with self._changed:
            self._lines.append({"timestamp": int(time.time() * 1000), "message": line})
            self._changed.notify_all()

    def close(self) -> None:
        """Write the remaining lines, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._writer.join()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                self._changed.wait(GATHER_S)
                lines, self._lines = self._lines[:LINES_MAX], self._lines[LINES_MAX:]
            with contextlib.suppress(ClientError, BotoCoreError):
                self._put(lines)

    def _put(self, lines: list[dict[str, Any]]) -> None:
        logs = self._client()
        if not self._created:
            logs.create_log_stream(logGroupName=self._group, logStreamName=self._stream)
            self._created = True
        logs.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=lines)
