"""The embedded cloud's services: moto's S3 and DynamoDB on 127.0.0.1, in a process of their own.

The process is also the caretaker of the command that started it, and ends with it (`s3mr.local.reaper_process`). That
command has made the listening socket, and drawn the access key that every request must be signed with
(`s3mr.local.access_control`).

moto is exact for one request at a time only, so requests take turns; and it answers HTTP 500 where S3 says
NoSuchUpload, which is put right here. Of moto's other services, and of the API that controls it, nothing is served.
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
    """moto's application, one request at a time, with the errors that S3 gives for lost uploads."""

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
    """Serve until standard input ends; a line on standard output says that this process has begun."""
    lifeline = start_reaping()
    listening = Listener.inherited(os.environ)
    try:
        os.write(1, b"begun\n")  # callers wait in the backlog while moto is imported
    except BrokenPipeError:
        lifeline.join()  # the command has died: what it had said so far is heard first, then cleaned up
    _serve(listening)


def services() -> Mapping[str, WsgiApp]:
    """Return moto's S3 and DynamoDB as applications of this process, whose state they are; they admit everybody."""
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "yes"  # else moto lets every web page read its answers
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

        door = AccessControl(services(), listening.key, listening.address, recognised=recognise)
        server = make_server(door, listening)
    server.serve_forever()


if __name__ == "__main__":
    run_process(main)
