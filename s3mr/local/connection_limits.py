"""Limit what strangers can use of the embedded cloud's server: connections, time and memory.

A stranger is a client that has not named the access key yet (`s3mr.local.access_control`). The limits keep other users
of the machine from exhausting the server's memory or descriptors, or filling your terminal.
"""

import contextlib
import io
import os
import resource
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from s3mr import limits
from s3mr.adapters.exhaustion import exhaustion
from s3mr.local.access_control import WsgiApp
from s3mr.local.listener import HOST, Listener

STRANGERS_MAX: Final = 512  # connections; at most half of the file descriptors
STRANGERS_BYTES_MAX: Final = 64 * limits.KIB  # read from each; a request's head takes 2 KiB
SILENCE_S_MAX: Final = 10.0  # then a stranger is disconnected
_HANDLER: Final = "s3mr.handler"


def make_server(app: WsgiApp, listening: Listener) -> ThreadedWSGIServer:
    """Return a server of ``app``, which must call `recognise` for each client that is not a stranger."""
    return _LimitedServer(HOST, 0, app, _Handler, fd=listening.socket.fileno())


def recognise(environ: Mapping[str, Any]) -> None:
    """Lift the limits for the client that sent this request."""
    environ[_HANDLER].recognise()


class _LimitedServer(ThreadedWSGIServer):
    def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - werkzeug's
        super().__init__(*arguments, **more)
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._strangers_max = min(STRANGERS_MAX, descriptors // 2)
        self._strangers: dict[socket.socket, None] = {}  # oldest first
        self._changing = threading.Lock()
        self._reported = False

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in socketserver
        """Answer a connection in its own thread. If there are too many strangers, disconnect the oldest."""
        with self._changing:
            self._strangers[request] = None
            if len(self._strangers) > self._strangers_max:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                with contextlib.suppress(OSError):  # already disconnected
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def handle_error(self, _request: Any, _client_address: Any) -> None:  # noqa: ANN401 - as in socketserver
        """Print once that there is no room for a thread. Ignore other errors: a stranger has disconnected."""
        why = exhaustion(sys.exc_info()[1])
        if why and not self._reported:
            self._reported = True
            os.write(2, f"s3mr: the embedded cloud's server cannot answer: {why}\n".encode())

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as in socketserver
        self.recognise(request)
        super().shutdown_request(request)

    def recognise(self, connection: socket.socket) -> None:
        """Stop counting a connection as a stranger's."""
        with self._changing:
            self._strangers.pop(connection, None)


class _Handler(WSGIRequestHandler):
    server: _LimitedServer
    timeout = SILENCE_S_MAX

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._incoming = _Incoming(self.connection)
        self.rfile = io.BufferedReader(self._incoming)

    def recognise(self) -> None:
        self.server.recognise(self.connection)
        self.connection.settimeout(None)
        self._incoming.left_bytes = None

    def make_environ(self) -> dict[str, Any]:
        try:
            return {**super().make_environ(), _HANDLER: self}
        except ValueError as error:
            raise ConnectionAbortedError("the request's URL is not valid") from error

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ANN401 - werkzeug's names
        """Print nothing: a log line would put a stranger's text on the user's terminal."""


class _Incoming(io.RawIOBase):
    """The bytes that a connection sends. A stranger's connection is aborted when it has sent too many."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection
        self.left_bytes: int | None = STRANGERS_BYTES_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a buffer, as `io.RawIOBase` has it
        if self.left_bytes is None:
            return self._connection.recv_into(buffer)
        if not self.left_bytes:
            raise ConnectionAbortedError("a client sent too much before it named the access key")
        read_bytes = self._connection.recv_into(memoryview(buffer)[: self.left_bytes])
        self.left_bytes -= read_bytes
        return read_bytes
