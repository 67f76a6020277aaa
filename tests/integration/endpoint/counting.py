"""moto's services, with every request counted as S3 and DynamoDB would bill it."""

import io
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from s3mr.local.access_control import WsgiApp
from s3mr.local.embedded_server import services
from tests.serving import serving

SLICE_OR_JOB = re.compile(r"job#[^#]+$")
DEPLOYING = ("CreateTable", "DescribeTable")


@dataclass
class Bill:
    """The requests to the services. Creating the bucket and the table is not counted: a deployment does that."""

    put_class: int = 0  # S3: PUT, POST, COPY and LIST; DeleteObjects is a POST, too
    deleted: int = 0  # the requests in `put_class` that s3mr does not count, because AWS does not bill them
    get_class: int = 0  # S3: all other requests except DELETE, which is free
    listed: list[str] = field(default_factory=list)  # the purpose of each LIST
    stored_bytes: int = 0  # written to intermediate objects
    fetched_bytes: int = 0  # read from intermediate objects
    dynamodb: Counter[str] = field(default_factory=Counter)
    ticks: int = 0  # each begins with a query of the job and its live items


class Counting:
    """An application that forwards to ``apps``, one per service, and keeps their ``bill``."""

    def __init__(self, apps: Mapping[str, WsgiApp]) -> None:
        self._apps = apps
        self._lock = threading.Lock()
        self.bill = Bill()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        key = environ["PATH_INFO"].partition("/")[2].partition("/")[2]
        with self._lock:
            if target:
                self._dynamodb(target.rpartition(".")[2], body)
            elif key or environ.get("QUERY_STRING"):
                self._s3(environ["REQUEST_METHOD"], key, parse_qs(environ["QUERY_STRING"], keep_blank_values=True))
                if key.startswith("jobs/") and environ["REQUEST_METHOD"] == "PUT":
                    self.bill.stored_bytes += len(body)

        def answered(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if key.startswith("jobs/") and environ["REQUEST_METHOD"] == "GET":
                with self._lock:
                    self.bill.fetched_bytes += int(dict(headers)["Content-Length"])
            return start_response(status, headers, *more)

        return self._apps["dynamodb" if target else "s3"](environ, answered)

    def _s3(self, method: str, key: str, query: dict[str, list[str]]) -> None:
        listing = method == "GET" and not key
        if listing:
            what = "uploads" if "uploads" in query else "objects"
            self.bill.listed.append(f"{what} {query.get('prefix', [''])[0]}")
        self.bill.deleted += method == "POST" and "delete" in query
        if method in ("PUT", "POST") or listing:
            self.bill.put_class += 1
        elif method != "DELETE":
            self.bill.get_class += 1

    def _dynamodb(self, operation: str, body: bytes) -> None:
        if operation in DEPLOYING:
            return
        self.bill.dynamodb[operation] += 1
        if operation == "Query":
            values = json.loads(body)["ExpressionAttributeValues"]
            self.bill.ticks += bool(SLICE_OR_JOB.match(values[":pk"]["S"]))


@contextmanager
def counting_services() -> Iterator[tuple[str, Counting]]:
    """Serve in this process; yield the address and the counter."""
    counting = Counting(services())
    with serving(counting) as url:
        yield url, counting
