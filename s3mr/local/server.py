"""The embedded cloud's services: moto's S3 and DynamoDB on 127.0.0.1, in a process of their own.

The process is also the caretaker of the command that started it, and ends with it (`s3mr.local.caretaker`).

moto is exact for one request at a time only, so requests take turns; it answers HTTP 500 where S3 says NoSuchUpload,
which is put right here; and it lists a folder to find the service that a request is for, which those of S3 and DynamoDB
are spared.
"""

import io
import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from s3mr.local.caretaker import take_care
from s3mr.processes.starting import without_collections

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

NO_SUCH_UPLOAD = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchUpload</Code>'
    b"<Message>The specified upload does not exist.</Message></Error>"
)

SIGNED_FOR = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,/]+/[^,/]+/[^,/]+/([^,/]+)/aws4_request,")
DYNAMODB = "DynamoDB_20120810."  # its streams, and its older API, are signed alike


class Signed:
    """The application of the service that a request is signed for; the ``others`` go where moto says."""

    def __init__(self, apps: Mapping[str, WsgiApp], others: WsgiApp) -> None:
        self._apps = apps
        self._others = others

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        signed = SIGNED_FOR.match(environ.get("HTTP_AUTHORIZATION", ""))
        service = signed[1] if signed else ""
        if service == "dynamodb" and not environ.get("HTTP_X_AMZ_TARGET", "").startswith(DYNAMODB):
            service = ""
        return self._apps.get(service, self._others)(environ, start_response)


class Exact:
    """moto's application, one request at a time, with the errors that S3 gives for lost uploads."""

    def __init__(self, app: WsgiApp, upload_exists: Callable[[str], bool]) -> None:
        self._app = app
        self._upload_exists = upload_exists
        self._turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))  # a slow sender holds nobody up
        upload = parse_qs(environ.get("QUERY_STRING", "")).get("uploadId")
        with self._turn:
            if upload and not self._upload_exists(upload[0]):
                start_response("404 Not Found", [("Content-Type", "application/xml")])
                return [NO_SUCH_UPLOAD]
            return self._app(environ, start_response)


def main() -> None:
    """Serve until standard input ends; the first line of standard output is the port."""
    lifeline = take_care()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    try:
        os.write(1, b"%d\n" % listener.getsockname()[1])  # callers wait in the backlog while moto is imported
    except BrokenPipeError:
        lifeline.join()  # the command has died: what it had said so far is heard first, then cleaned up
    _serve(listener)


def application() -> WsgiApp:
    """Return moto's services as an application of this process, whose state they are."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.s3.models import s3_backends

    def upload_exists(upload: str) -> bool:
        return any(
            upload in bucket.multiparts
            for account in s3_backends.values()
            for backend in account.values()
            for bucket in backend.buckets.values()
        )

    known: dict[str, WsgiApp] = {"s3": create_backend_app("s3"), "dynamodb": create_backend_app("dynamodb")}
    return Exact(Signed(known, DomainDispatcherApplication(create_backend_app)), upload_exists)


def _serve(listener: socket.socket) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    with without_collections():
        from werkzeug.serving import make_server

        server = make_server("127.0.0.1", 0, application(), threaded=True, fd=listener.fileno())
    server.serve_forever()


if __name__ == "__main__":
    main()
