"""The embedded cloud's listening socket and access key. The command creates both and passes them to its server.

The command also keeps the socket open, so no other process can listen on that port and answer in place of a server
that died.
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
    """A listening socket, and the access key that its server requires."""

    socket: socket.socket
    key: AccessKey
    _over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def begun(cls, key: AccessKey | None = None) -> Self:
        """Listen on a free port. Without a ``key``, generate one that cannot be guessed."""
        listener = socket.socket()  # without SO_REUSEADDR, which would let others listen there as well
        listener.bind((HOST, 0))
        listener.listen(BACKLOG)
        generated = AccessKey(secrets.token_hex(_KEY_ID_BYTES), secrets.token_hex(_SECRET_BYTES))
        return cls(listener, key or generated)

    @classmethod
    def inherited(cls, environment: Mapping[str, str]) -> Self:
        """Take over the socket of another process, which passed it with `to_environment`."""
        listener = socket.socket(fileno=int(environment[_DESCRIPTOR]))
        return cls(listener, AccessKey.parse(environment[EMBEDDED_KEY]))

    def to_environment(self) -> dict[str, str]:
        """Return the variables that `inherited` reads. Other users cannot read a process's environment."""
        return {_DESCRIPTOR: str(self.socket.fileno()), EMBEDDED_KEY: str(self.key)}

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.socket.getsockname()[1]}"

    def refuse(self) -> None:
        """Close every connection until `end` is called: else clients would wait for a server that has died."""
        while not self._over.is_set():
            connection, _ = self.socket.accept()
            connection.close()

    def end(self) -> None:
        """Make `refuse` return."""
        self._over.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self.socket.getsockname()).close()  # wakes up `accept`
