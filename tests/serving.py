"""Serve an application from this process for a while, over real connections."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from s3mr.local.access_control import WsgiApp
from s3mr.local.embedded_server import services


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: Any) -> None: ...


def application() -> WsgiApp:
    """Return S3 and DynamoDB as one application that admits every caller."""
    apps = services()

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return apps["dynamodb" if "HTTP_X_AMZ_TARGET" in environ else "s3"](environ, start_response)

    return serve


@contextmanager
def serving(app: WsgiApp) -> Iterator[str]:
    """Serve ``app`` on this machine; yield its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
