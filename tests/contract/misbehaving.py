"""Put faults in front of moto's services: all the misbehavior that AWS documents, which moto never shows.

A fault sees each call, may forward it (unchanged, changed, or in part), and answers it.
Sources: DynamoDB API reference, BatchGetItem and BatchWriteItem (unprocessed parts), "Read consistency"; S3 API
reference, DeleteObjects (errors by key), ListObjectsV2 and ListMultipartUploads (pages), "Error responses".
"""

import io
import json
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree as ET

from s3mr.local.access_control import WsgiApp

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``name`` is DynamoDB's operation, or S3's method with its subresource: "POST delete"."""

    name: str
    path: str
    query: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. ``cut``: the connection closes after that many bytes of the body. ``lost``: nothing arrives."""

    status: str
    headers: dict[str, str]
    body: bytes
    cut: int | None = None
    lost: bool = False


Ask = Callable[[Call], Answer]
Fault = Callable[[Call, Ask], Answer]


def none(call: Call, ask: Ask) -> Answer:
    """Inject no fault."""
    return ask(call)


@dataclass(slots=True)
class MisbehavingApp:
    """An application that answers for ``app`` with the current ``fault``."""

    app: WsgiApp
    fault: Fault = none
    calls: list[str] = field(default_factory=list)  # the names of all calls

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = _call(environ)
        self.calls.append(call.name)
        answer = self.fault(call, lambda one: self._ask(environ, one))
        if answer.lost:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start_response(answer.status, list(answer.headers.items()))
        return [answer.body[: answer.cut]]

    def _ask(self, environ: dict[str, Any], call: Call) -> Answer:
        passed = {**environ, "wsgi.input": io.BytesIO(call.body), "CONTENT_LENGTH": str(len(call.body))}
        passed["QUERY_STRING"] = urlencode(call.query)
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.extend((status, dict(headers)))

        body = b"".join(self.app(passed, start))
        return Answer(started[0], started[1], body)


def _call(environ: dict[str, Any]) -> Call:
    target: str = environ.get("HTTP_X_AMZ_TARGET", "")
    query = {name: value[0] for name, value in parse_qs(environ["QUERY_STRING"], keep_blank_values=True).items()}
    asked = next((one for one in ("delete", "uploads", "list-type", "uploadId") if one in query), "")
    name = target.rpartition(".")[2] or f"{environ['REQUEST_METHOD']} {asked}".rstrip()
    return Call(name, environ["PATH_INFO"], query, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def _with_body(answer: Answer, body: Any) -> Answer:
    """Return ``answer`` with another body, JSON or bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kept = {
        name: value for name, value in answer.headers.items() if name.lower() not in ("content-length", "x-amz-crc32")
    }
    return replace(answer, headers={**kept, "Content-Length": str(len(data))}, body=data)


# DynamoDB.


def half_of_each_batch(call: Call, ask: Ask) -> Answer:
    """Leave half of every batch unprocessed."""
    if call.name not in ("BatchWriteItem", "BatchGetItem"):
        return ask(call)
    asked = json.loads(call.body)
    ((table, wanted),) = asked["RequestItems"].items()
    entries = wanted if call.name == "BatchWriteItem" else wanted["Keys"]
    now, left = entries[: -(-len(entries) // 2)], entries[-(-len(entries) // 2) :]

    def part(some: list[Any]) -> dict[str, Any]:
        return {table: some if call.name == "BatchWriteItem" else {**wanted, "Keys": some}}

    answer = ask(replace(call, body=json.dumps({**asked, "RequestItems": part(now)}).encode()))
    name = "UnprocessedItems" if call.name == "BatchWriteItem" else "UnprocessedKeys"
    return _with_body(answer, {**json.loads(answer.body), name: part(left) if left else {}})


def nothing_of_any_batch(call: Call, ask: Ask) -> Answer:
    """Leave every batch completely unprocessed."""
    answer = ask(call)
    if call.name not in ("BatchWriteItem", "BatchGetItem"):
        return answer
    wanted = json.loads(call.body)["RequestItems"]
    nothing = {"Responses": {table: [] for table in wanted}, "UnprocessedKeys": wanted}
    return _with_body(answer, {"UnprocessedItems": wanted} if call.name == "BatchWriteItem" else nothing)


def stale_reads(call: Call, ask: Ask) -> Answer:
    """Answer reads that are not consistent from before the first write."""
    answer = ask(call)
    if call.name not in ("GetItem", "BatchGetItem", "Query"):
        return answer
    asked: dict[str, Any] = json.loads(call.body)
    nothing: dict[str, Any] = {"Items": [], "Count": 0, "ScannedCount": 0} if call.name == "Query" else {}
    if call.name == "BatchGetItem":
        ((table, asked),) = asked["RequestItems"].items()
        nothing = {"Responses": {table: []}, "UnprocessedKeys": {}}
    return answer if asked.get("ConsistentRead") else _with_body(answer, nothing)


def one_item_a_page(call: Call, ask: Ask) -> Answer:
    """Answer queries one item at a time."""
    if call.name != "Query":
        return ask(call)
    return ask(replace(call, body=json.dumps({**json.loads(call.body), "Limit": 1}).encode()))


# S3.


def one_entry_a_page(call: Call, ask: Ask) -> Answer:
    """List objects and open uploads one at a time."""
    if call.name == "GET list-type":
        return ask(replace(call, query={**call.query, "max-keys": "1"}))
    if call.name != "GET uploads":
        return ask(call)
    answer = ask(call)
    listed = ET.fromstring(answer.body)  # noqa: S314 - moto's
    uploads = [one for one in listed if one.tag.endswith("Upload")]
    for one in uploads:
        listed.remove(one)
    after = (call.query.get("key-marker", ""), call.query.get("upload-id-marker", ""))
    left = sorted((_text(one, "Key"), _text(one, "UploadId"), number) for number, one in enumerate(uploads))
    left = [one for one in left if one[:2] > after]
    if left:
        key, upload, number = left[0]
        listed.append(uploads[number])
        _set(listed, NextKeyMarker=key, NextUploadIdMarker=upload)
    _set(listed, IsTruncated="true" if len(left) > 1 else "false")
    return _with_body(answer, ET.tostring(listed))


def _text(element: ET.Element, name: str) -> str:
    return next((one.text or "" for one in element if one.tag.endswith(name)), "")


def _set(element: ET.Element, **texts: str) -> None:
    for name, text in texts.items():
        for one in [one for one in element if one.tag.rpartition("}")[2] == name]:
            element.remove(one)
        ET.SubElement(element, f"{{{NAMESPACE}}}{name}").text = text


def first_key_is_not_deleted(call: Call, ask: Ask) -> Answer:
    """Answer DeleteObjects with 200 and an error for its first key, which is not deleted."""
    if call.name != "POST delete":
        return ask(call)
    entry = re.search(rb"<Object>.*?</Object>", call.body)
    assert entry is not None
    answer = ask(replace(call, body=call.body.replace(entry[0], b"", 1)))
    error = entry[0].replace(b"Object>", b"Error>").replace(b"</Error>", b"<Code>InternalError</Code></Error>")
    return _with_body(
        answer,
        re.sub(rb"/>$|</DeleteResult>$", b"</DeleteResult>", answer.body).replace(
            b"</DeleteResult>", error + b"</DeleteResult>"
        ),
    )


def cut_short(after_bytes: int) -> Fault:
    """Close the connection after ``after_bytes`` of each object."""

    def fault(call: Call, ask: Ask) -> Answer:
        answer = ask(call)
        return replace(answer, cut=after_bytes) if call.name == "GET" else answer

    return fault


# Both.


def refused(status: str, code: str, *, of: str = "") -> Fault:
    """Refuse every call, or those of one name, with S3's error ``code``; the calls have no effect."""
    body = f"<Error><Code>{code}</Code><Message>Not now.</Message></Error>".encode()

    def fault(call: Call, ask: Ask) -> Answer:
        if of not in ("", call.name):
            return ask(call)
        return Answer(status, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body)

    return fault


def answer_lost(of: str, *, number: int = 1) -> Fault:
    """Carry out a call of one name, the first or a later one, and close the connection instead of answering."""
    met: list[Call] = []

    def fault(call: Call, ask: Ask) -> Answer:
        answer = ask(call)
        if call.name != of:
            return answer
        met.append(call)
        return replace(answer, lost=len(met) == number)

    return fault


def meanwhile(of: str, action: Callable[[], object]) -> Fault:
    """Run ``action`` after the first call of one name took effect, before its response arrives."""
    done: list[Call] = []

    def fault(call: Call, ask: Ask) -> Answer:
        answer = ask(call)
        if call.name == of and not done:
            done.append(call)
            action()
        return answer

    return fault


def all_of(*faults: Fault) -> Fault:
    """Inject several faults, the first of them nearest to the caller."""
    if not faults:
        return none
    first, rest = faults[0], all_of(*faults[1:])
    return lambda call, ask: first(call, lambda passed: rest(passed, ask))
