"""A proxy in front of the services at an endpoint that can answer requests with 503 itself."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Proxy:
    """``busy`` decides for each request whether to answer 503; ``refused`` counts those answers."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target).netloc
        self.url = ""
        self.refused = 0
        self.busy: Callable[[str], bool] = lambda _operation: False

    def handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.close_connection = True
                target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                if proxy.busy(target or f"{self.command} {self.path}"):
                    proxy.refused += 1
                    self._send(503, [("Content-Length", "0")], b"")
                    return
                connection = http.client.HTTPConnection(proxy.target)
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                content = answer.read()
                kept = [one for one in answer.getheaders() if one[0].lower() not in ("connection", "transfer-encoding")]
                if self.command != "HEAD":
                    kept = [one for one in kept if one[0].lower() != "content-length"] + [
                        ("Content-Length", str(len(content)))
                    ]
                self._send(answer.status, kept, content)
                connection.close()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 - http.server's names

            def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response(status)
                for name, value in [*headers, ("Connection", "close")]:
                    self.send_header(name, value)
                with contextlib.suppress(ConnectionError):  # the client may have been killed
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        return Handler


@contextmanager
def proxy_of(url: str) -> Iterator[Proxy]:
    """Serve a proxy in front of the services at ``url``."""
    proxy = Proxy(url)
    with ThreadingHTTPServer(("127.0.0.1", 0), proxy.handler()) as server:
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
