"""Where the embedded cloud listens, and the access key that it asks for. The command makes both; its server gets them.

The command keeps the socket, too. As long as it lives, nobody else can listen at that port: should the server die, no
other process can answer in its place.
"""

import contextlib
import secrets
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from s3mr.settings import EMBEDDED_KEY, AccessKey

HOST: Final = "127.0.0.1"
BACKLOG: Final = 128
_DESCRIPTOR: Final = "S3MR_LISTENER"
_KEY_ID_BYTES: Final = 16
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, and the access key that its server asks for."""

    socket: socket.socket
    key: AccessKey
    _over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def begun(cls, key: AccessKey | None = None) -> Self:
        """Listen at a free port; without a ``key``, draw one that nobody can guess."""
        listener = socket.socket()  # without SO_REUSEADDR: with it, others could listen there, too
        listener.bind((HOST, 0))
        listener.listen(BACKLOG)
        drawn = AccessKey(secrets.token_hex(_KEY_ID_BYTES), secrets.token_hex(_SECRET_BYTES))
        return cls(listener, key or drawn)

    @classmethod
    def inherited(cls, environment: Mapping[str, str]) -> Self:
        """Take over what another process has begun, and named by `to_environment`."""
        listener = socket.socket(fileno=int(environment[_DESCRIPTOR]))
        return cls(listener, AccessKey.parse(environment[EMBEDDED_KEY]))

    def to_environment(self) -> dict[str, str]:
        """Return the variables by which `inherited` finds it; only its own user can read a process' environment."""
        return {_DESCRIPTOR: str(self.socket.fileno()), EMBEDDED_KEY: str(self.key)}

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.socket.getsockname()[1]}"

    def refuse(self) -> None:
        """Break every connection, until `end` is called: else they would wait for a server that has died."""
        while not self._over.is_set():
            connection, _ = self.socket.accept()
            connection.close()

    def end(self) -> None:
        """Have `refuse` return."""
        self._over.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self.socket.getsockname()).close()  # for which it waits
