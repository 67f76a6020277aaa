"""Retry requests, with backoff and jitter, while a service is overloaded: status 500 and up, or throttling.

botocore tries such a request five times, within a few seconds. An overload can last longer. So a command retries for
up to `limits.BUSY_S`, and tells the user.
"""

import random
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from s3mr import limits
from s3mr.adapters.aws.aws_errors import is_busy

if TYPE_CHECKING:
    from botocore.client import BaseClient

FIRST_PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 5.0
SILENCE_S: Final = 60.0  # between two messages to the user
_SINCE: Final = "s3mr_busy_since"


def say_on_stderr(text: str) -> None:
    """Print a message for the user on standard error."""
    print(f"s3mr: {text}", file=sys.stderr, flush=True)  # noqa: T201 - of the command


class OverloadRetries:
    """Retries requests until the overload, or the request itself, has lasted longer than `limits.BUSY_S`.

    ``say`` is called with a message about the overload. One object serves all clients of a command. Thread-safe.
    """

    def __init__(
        self,
        say: Callable[[str], object],
        *,
        now: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._say = say
        self._now = now
        self._random = random
        self._lock = threading.Lock()
        self._since: float | None = None  # when the overload began; None if the last response was good
        self._said_at: float | None = None
        self._over = threading.Event()

    def watch(self, client: "BaseClient") -> None:
        """Handle the retries of ``client``, before botocore's own."""
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_first(f"needs-retry.{service}", self._needs_retry)  # type: ignore[arg-type] # the returned delay is used

    def end(self) -> None:
        """Stop retrying: later requests may fail."""
        self._over.set()

    def pause_s(self, status: int, code: str, *, attempts: int, context: dict[str, Any]) -> float | None:
        """Return how long to wait before a request is sent again, or None to leave the decision to botocore.

        ``attempts`` is how often the request was sent. ``context`` belongs to the request; it stores when it first
        failed.
        """
        if not is_busy(status, code):
            with self._lock:
                self._since = None
            return None
        now = self._now()
        with self._lock:
            self._since = now if self._since is None else self._since
            overload_s = now - self._since
        if self._over.is_set() or max(overload_s, now - context.setdefault(_SINCE, now)) > limits.BUSY_S:
            return None
        if attempts > 1:
            self._tell(now, status, code)
        longest_s: float = min(PAUSE_S_MAX, FIRST_PAUSE_S * 2 ** min(attempts - 1, 16))
        return longest_s * (1 + self._random()) / 2

    def _tell(self, now: float, status: int, code: str) -> None:
        with self._lock:
            if self._said_at is not None and now - self._said_at < SILENCE_S:
                return
            self._said_at = now
        shown = code if code.isascii() and code.isalnum() else status  # a code can be any text: it is not safe to print
        self._say(f"a service is busy ({shown}): trying again for up to {limits.BUSY_S:.0f} s")

    def _needs_retry(
        self,
        response: Any,  # noqa: ANN401 - botocore's event arguments
        attempts: int,
        request_dict: dict[str, Any],
        **_more: Any,  # noqa: ANN401
    ) -> float | None:
        if response is None:  # no response: botocore retries
            return None
        http, parsed = response
        code = str(parsed.get("Error", {}).get("Code", ""))
        return self.pause_s(http.status_code, code, attempts=attempts, context=request_dict["context"])
