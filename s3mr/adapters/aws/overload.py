"""Patience with services that answer and say that they are busy: status 500 and up, or throttled.

botocore tries such a request five times, within some seconds. A storm lasts longer: a command at an endpoint waits it
out, up to `limits.BUSY_S`, and says so once.
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
SILENCE_S: Final = 60.0  # between two notices
_SINCE: Final = "s3mr_busy_since"


def say_on_stderr(text: str) -> None:
    """Tell the user; in a command that shows progress, the line comes above that."""
    print(f"s3mr: {text}", file=sys.stderr, flush=True)  # noqa: T201 - of the command


class OverloadRetries:
    """Has requests tried again as long as no storm, and no single request, has taken longer than `limits.BUSY_S`.

    ``say`` is told of a storm. One object serves all clients of a command, in threads as well.
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
        self._since: float | None = None  # when the storm began; None: the last answer was a good one
        self._said_at: float | None = None
        self._over = threading.Event()

    def watch(self, client: "BaseClient") -> None:
        """Decide for ``client`` before botocore does."""
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_first(f"needs-retry.{service}", self._needs_retry)  # type: ignore[arg-type] # its answer counts

    def end(self) -> None:
        """Wait no more: what a thread still asks for may fail."""
        self._over.set()

    def pause_s(self, status: int, code: str, *, attempts: int, context: dict[str, Any]) -> float | None:
        """Return for how long to wait before a request is sent again; None: that is not decided here.

        ``attempts`` is how often it was sent; ``context`` belongs to the request, and remembers when it failed first.
        """
        if not is_busy(status, code):
            with self._lock:
                self._since = None
            return None
        now = self._now()
        with self._lock:
            self._since = now if self._since is None else self._since
            storm_s = now - self._since
        if self._over.is_set() or max(storm_s, now - context.setdefault(_SINCE, now)) > limits.BUSY_S:
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
        known = code if code.isascii() and code.isalnum() else status  # the service may send anything as its code
        self._say(f"a service is busy ({known}): trying again for up to {limits.BUSY_S:.0f} s")

    def _needs_retry(
        self,
        response: Any,  # noqa: ANN401 - botocore's event arguments
        attempts: int,
        request_dict: dict[str, Any],
        **_more: Any,  # noqa: ANN401
    ) -> float | None:
        if response is None:  # no answer: botocore tries again
            return None
        http, parsed = response
        code = str(parsed.get("Error", {}).get("Code", ""))
        return self.pause_s(http.status_code, code, attempts=attempts, context=request_dict["context"])
