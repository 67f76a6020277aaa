"""A fake of Lambda's Runtime API for one environment, with the states that AWS publishes.

A runtime that asks for the next invocation while it has one gets the same one again. A response is accepted once, and
only for the current invocation. Source: aws-lambda-runtime-interface-emulator, ``internal/lambda/core/states.go``.
"""

import json
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = "/2018-06-01/runtime/"


@dataclass
class RuntimeStates:
    """The state machine. ``log`` records the path and the response status of every request."""

    log: list[tuple[str, int]] = field(default_factory=list)
    answers: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    unexpected: list[bytes] = field(default_factory=list)
    state: str = "started"
    _event: bytes = b""
    _id: str = ""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def invoke(self, event: object, within_s: float = 60.0) -> tuple[str, bytes]:
        """Hand out one event when the runtime asks for it; return the verb and the body of its response."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.state == "ready", within_s):
                raise TimeoutError(f"the runtime requested no invocation: {self.log}, {self.unexpected}")
            self._id, self._event, self.state = str(uuid.uuid4()), json.dumps(event).encode(), "running"
            own = self._id
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: own in self.answers or self.state == "over", within_s):
                raise TimeoutError(f"the runtime sent no response: {self.log}")
            return self.answers.get(own, ("exit", b"".join(self.unexpected)))

    def over(self) -> None:
        """The runtime has ended."""
        with self._changed:
            self.state = "over"
            self._changed.notify_all()

    def next(self) -> tuple[int, bytes, str]:
        with self._changed:
            if self.state == "running":
                return 200, self._event, self._id
            self.state = "ready"
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.state in ("running", "over"))
            return (200, self._event, self._id) if self.state == "running" else (410, b"", "")

    def answer(self, request_id: str, verb: str, body: bytes) -> int:
        with self._changed:
            if request_id != self._id:
                return 400
            if self.state != "running":
                return 403
            self.answers[request_id], self.state = (verb, body), "answered"
            self._changed.notify_all()
            return 202


class RuntimeServer(ThreadingHTTPServer):
    """Serves the states on the loopback address."""

    daemon_threads = True

    def __init__(self, states: RuntimeStates) -> None:
        self.states = states
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: a killed runtime breaks its connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RuntimeServer

    def do_GET(self) -> None:
        if self.path == f"{ROOT}invocation/next":
            status, body, request_id = self.server.states.next()
            headers = {"Lambda-Runtime-Aws-Request-Id": request_id, "Lambda-Runtime-Deadline-Ms": "2000000000000"}
            self._answer(
                status,
                body,
                {
                    **headers,
                    "Lambda-Runtime-Invoked-Function-Arn": "arn",
                    "Lambda-Runtime-Trace-Id": "Root=1-0-0;Sampled=0",
                },
            )
        else:
            self._answer(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        *_, request_id, verb = self.path.split("/")
        if self.path.startswith(f"{ROOT}invocation/"):
            self._answer(self.server.states.answer(request_id, verb, body))
        else:
            self.server.states.unexpected.append(body)
            self._answer(202 if request_id in ("init", "extension") else 404)

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.server.states.log.append((self.path, status))
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing."""
