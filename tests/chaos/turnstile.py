"""A proxy in front of the services that kills a command at one of its requests.

The moment of death is therefore a point in the job's progress, not in time. The fate of that request is drawn as well:
it never arrives, its answer is lost, it arrives after another command has taken over, or it is answered and the command
dies some milliseconds later.
"""

import http.client
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

LATE_REQUESTS: Final = 12  # requests of the next command before a late request arrives
COMMITTING: Final = b"committing"  # the phase in a job's item
OF_ONE_CONNECTION: Final = frozenset({"connection", "transfer-encoding", "content-length", "expect", "keep-alive"})

Then = Literal["lost", "unanswered", "late", "answered"]


@dataclass(frozen=True, slots=True)
class Death:
    """When a command dies: at its ``request``-th request, or when the commit begins if that is earlier.

    With ``in_commit``, at the ``request``-th request after the write that begins the commit; 0 is that write.
    """

    request: int
    then: Then
    in_commit: bool = False
    later_s: float = 0.0  # delay of the kill if the request is answered


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Turnstile:
    """Counts the requests of a command and its workers to the services at a URL."""

    def __init__(self, services_url: str) -> None:
        self._host = urlsplit(services_url).netloc
        self._turn = threading.Lock()
        self._death: Death | None = None
        self._victim: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._committing = False
        self._late: list[Request] = []
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def expect(self, death: Death | None, victim: subprocess.Popen[bytes]) -> None:
        """Restart the count, and kill ``victim`` as ``death`` says."""
        with self._turn:
            self._death, self._victim, self._count = death, victim, 0

    def go_through(self, request: Request) -> Answer | None:
        """Return the answer; None if the client gets no answer."""
        with self._turn:
            late, then = self._late_now(), self._dies_at(request)
        for one in late:
            self._forward(one)
        if then == "late":
            self._late.append(request)
        answer = None if then in ("lost", "late") else self._forward(request)
        return None if then == "unanswered" else answer

    def _dies_at(self, request: Request) -> Then | None:
        """Kill the command if it dies at this request, and return the fate of the request; otherwise None."""
        begins = COMMITTING in request.body and not self._committing
        self._committing = self._committing or begins
        death = self._death
        self._count = 0 if begins and death and death.in_commit else self._count + 1
        if death is None or self._victim is None:
            return None
        counted = self._count >= death.request
        if not (self._committing and counted if death.in_commit else self._committing or counted):
            return None
        self._death, self._count = None, 0
        if death.then == "answered":
            threading.Timer(death.later_s, self._victim.kill).start()
        else:
            self._victim.kill()
            self._victim.wait()
        return death.then

    def _late_now(self) -> list[Request]:
        if self._count < LATE_REQUESTS:
            return []
        late, self._late = self._late, []
        return late

    def _forward(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection(self._host)
        try:
            connection.request(request.method, request.path, request.body, request.headers)
            response = connection.getresponse()
            content, kept = response.read(), _without_connection(response.getheaders())
            length = response.getheader("Content-Length") if request.method == "HEAD" else str(len(content))
            return Answer(response.status, {**kept, "Content-Length": length or "0"}, content)
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, turnstile: Turnstile) -> None:
        self.turnstile = turnstile
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore it: the client was killed."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        headers = _without_connection(self.headers.items())
        answer = self.server.turnstile.go_through(Request(self.command, self.path, headers, body))
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def handle_expect_100(self) -> bool:
        go_on = super().handle_expect_100()
        self.wfile.flush()  # the client waits for it
        return go_on

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _without_connection(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in OF_ONE_CONNECTION}
