"""An application that serves from this process for a while, over real connections."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from s3mr.local.server import WsgiApp


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: Any) -> None: ...


@contextmanager
def serving(app: WsgiApp) -> Iterator[str]:
    """Serve ``app`` on this machine; give its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
