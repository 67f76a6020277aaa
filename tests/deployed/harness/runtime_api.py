"""Lambda's Runtime API for AWS's runtime client: one small HTTP server per environment.

Source: Lambda Developer Guide, "Using the Lambda runtime API".
"""

import json
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

ROOT = "/2018-06-01/runtime/"
Kind = Literal["ready", "response", "error", "init_error", "exit"]


@dataclass(frozen=True)
class RuntimeEvent:
    """A message of the runtime, or the end of its process (then ``body`` says how it ended)."""

    kind: Kind
    request_id: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Invocation:
    """One event for the runtime."""

    request_id: str
    function_arn: str
    payload: bytes
    deadline_ms: int

    def headers(self) -> Mapping[str, str]:
        return {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Deadline-Ms": str(self.deadline_ms),
            "Lambda-Runtime-Trace-Id": f"Root=1-{self.request_id[:8]}-{self.request_id.replace('-', '')[8:]};Sampled=0",
        }


class RuntimeApi:
    """Passes invocations to one runtime, and puts the runtime's messages into ``events``."""

    def __init__(self, events: "queue.SimpleQueue[RuntimeEvent]") -> None:
        self.events = events
        self.invocations: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.invocations.put(None)  # unblocks a runtime that waits for an invocation
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a killed runtime closes its connection."""


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != f"{ROOT}invocation/next":
                self._answer(404)
                return
            api.events.put(RuntimeEvent("ready"))
            invocation = api.invocations.get()
            if invocation is None:
                self._answer(410)
            else:
                self._answer(200, invocation.payload, invocation.headers())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            *_, request_id, verb = self.path.split("/")
            kinds: dict[str, Kind] = {"response": "response", "error": "error"}
            kind = "init_error" if request_id == "init" else kinds[verb]
            self._answer(202, json.dumps({"status": "OK"}).encode())
            api.events.put(RuntimeEvent(kind, request_id, body))

        def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
