"""Serve the embedded cloud: moto's S3 and DynamoDB on 127.0.0.1, in a separate process.

The process is also the reaper of the command that started it, and ends with it (`s3mr.local.reaper_process`). The
command creates the listening socket and the access key that must sign every request (`s3mr.local.access_control`).

moto is only correct for one request at a time, so requests take turns. moto answers HTTP 500 if an upload does not
exist; this server answers NoSuchUpload, as S3 does. It does not serve moto's other services or its control API.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from s3mr.local.access_control import AccessControl, WsgiApp
from s3mr.local.listener import Listener
from s3mr.local.reaper_process import start_reaping
from s3mr.processes.process_start import run_process, without_collections

NO_SUCH_UPLOAD: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchUpload</Code>'
    b"<Message>The specified upload does not exist.</Message></Error>"
)


class ExactS3:
    """moto's application, one request at a time, with S3's error for uploads that do not exist."""

    def __init__(self, app: WsgiApp, upload_exists: Callable[[str], bool], turn: threading.Lock) -> None:
        self._app = app
        self._upload_exists = upload_exists
        self._turn = turn

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        upload = parse_qs(environ.get("QUERY_STRING", "")).get("uploadId")
        with self._turn:
            if upload and not self._upload_exists(upload[0]):
                start_response("404 Not Found", [("Content-Type", "application/xml")])
                return [NO_SUCH_UPLOAD]
            return self._app(environ, start_response)


def main() -> None:
    """Serve until standard input ends. A line on standard output says that this process has started."""
    lifeline = start_reaping()
    listening = Listener.inherited(os.environ)
    try:
        os.write(1, b"begun\n")  # callers wait in the backlog while moto is imported
    except BrokenPipeError:
        lifeline.join()  # the command has died: read the rest of its lines, then clean up
    _serve(listening)


def services() -> Mapping[str, WsgiApp]:
    """Return moto's S3 and DynamoDB as WSGI applications. Their state is in this process; they check no access key."""
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "yes"  # else moto lets every web page read its responses
    from moto.moto_server.werkzeug_app import create_backend_app
    from moto.s3.models import s3_backends

    def upload_exists(upload: str) -> bool:
        return any(
            upload in bucket.multiparts
            for account in s3_backends.values()
            for backend in account.values()
            for bucket in backend.buckets.values()
        )

    turn = threading.Lock()
    return {name: ExactS3(create_backend_app(name), upload_exists, turn) for name in ("s3", "dynamodb")}


def _serve(listening: Listener) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with without_collections():
        from s3mr.local.connection_limits import make_server, recognise

        app = AccessControl(services(), listening.key, listening.address, recognised=recognise)
        server = make_server(app, listening)
    server.serve_forever()


if __name__ == "__main__":
    run_process(main)
