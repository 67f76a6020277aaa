"""The embedded cloud's services: moto's S3 and DynamoDB on 127.0.0.1, in a process of their own.

The process is also the caretaker of the command that started it: its standard input names the processes to kill and
the folders to remove when the command ends, and ends when the command does, whatever it dies of. Each line is a JSON
object with one key: ``kill`` or ``spare`` a process group, ``remove`` or ``keep`` a path.

moto is exact for one request at a time only, so requests take turns; and it answers HTTP 500 where S3 says
NoSuchUpload, which is put right here.
"""

import io
import json
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from s3mr.processes.lifeline import follow, kill_group

REMOVE_TRIES = 50
REMOVE_PAUSE_S = 0.02

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

NO_SUCH_UPLOAD = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchUpload</Code>'
    b"<Message>The specified upload does not exist.</Message></Error>"
)


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


class Caretaker:
    """Kills and removes what the command has left when it ends."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._paths: set[str] = set()

    def hear(self, line: bytes) -> None:
        """Note one line of the command's."""
        for verb, value in json.loads(line).items():
            if verb == "kill":
                self._groups.add(value)
            elif verb == "spare":
                self._groups.discard(value)
            elif verb == "remove":
                self._paths.add(value)
            elif verb == "keep":
                self._paths.discard(value)

    def clean_up(self) -> None:
        """Kill, remove, and end this process."""
        for group in self._groups:
            kill_group(group)
        for path in self._paths:
            remove_folder(path)
        os._exit(0)


def remove_folder(path: str) -> None:
    """Remove a folder in which a process that is just being killed may still write."""
    for _ in range(REMOVE_TRIES):
        shutil.rmtree(path, ignore_errors=True)
        if not Path(path).exists():
            return
        time.sleep(REMOVE_PAUSE_S)


def main() -> None:
    """Serve until standard input ends; the first line of standard output is the port."""
    caretaker = Caretaker()
    lifeline = follow(os.fdopen(0, "rb", buffering=0, closefd=False), caretaker.hear, caretaker.clean_up)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    try:
        os.write(1, b"%d\n" % listener.getsockname()[1])  # callers wait in the backlog while moto is imported
    except BrokenPipeError:
        lifeline.join()  # the command has died: what it had said so far is heard first, then cleaned up
    _serve(listener)


def _serve(listener: socket.socket) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    def upload_exists(upload: str) -> bool:
        return any(
            upload in bucket.multiparts
            for account in s3_backends.values()
            for backend in account.values()
            for bucket in backend.buckets.values()
        )

    app = Exact(DomainDispatcherApplication(create_backend_app), upload_exists)
    make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno()).serve_forever()


if __name__ == "__main__":
    main()
