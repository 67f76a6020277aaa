"""Events that a malicious or broken sender may send to `record`, which it has the right to invoke."""

import copy
from typing import Any

from s3mr.model.manifest import Manifest, pack_pieces, unpack_pieces
from s3mr.model.report import TaskRequest
from tests.simulation.faults import Faults

OTHER_WORKER = "0123456789abcdef"
_PART = {
    "name": "part-00000", "upload": "upload-0", "worker": OTHER_WORKER, "etags": [], "size_bytes": 0, "records": 0,
    "crc32c": 0,
}  # fmt: skip


def forgeries(request: TaskRequest, event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return events for attempts whose token the sender does not have, or that it cannot have caused.

    All come from ``request``'s attempt, whose own token user code can read.
    """
    request_payload = {**request.model_dump(mode="json")}
    elsewhere = {**request_payload, "task": request.task + 1}
    without = {**request_payload, "token": "0" * 64}
    later = {**request_payload, "attempt": request.attempt + 1}
    made: list[dict[str, Any]] = [
        {"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": one, "responsePayload": None}
        for one in (elsewhere, without, later)
    ]
    payload: dict[str, Any] = event.get("responsePayload") or {}
    if "failure" in payload:
        of_another = {"phase": request.phase, "task": request.task + 1, "attempt": request.attempt}
        failure = {"kind": "crash", "message": "made up", **of_another}
        made.append({**event, "responsePayload": {**payload, "manifest": None, "failure": failure}})
    manifest = payload.get("manifest")
    if manifest is not None:
        for changes in (
            {"task": manifest["task"] + 1},
            {"attempt": manifest["attempt"] + 1},
            {"worker": OTHER_WORKER},
            {"phase": "reduce" if manifest["phase"] == "map" else "map"},
            {"counters": {**manifest["counters"], "records_in": -1}},
            {"counters": {**manifest["counters"], "bytes_in": 2**62}},
            {"pieces": "AAAA"},
            {"pieces": None},
            {"books": {"records": 1, "checksum": 1} if manifest["books"] is None else None},
            {"part": None if manifest["part"] else _PART},
            {"part": {**(manifest["part"] or _PART), "name": "part-00099"}},
            {"part": {**(manifest["part"] or _PART), "worker": OTHER_WORKER}},
        ):
            forged = copy.deepcopy(event)
            forged["responsePayload"]["manifest"].update(changes)
            outer = {name: value for name, value in changes.items() if name in ("task", "attempt", "phase")}
            for payload in ({}, outer) if outer else ({},):  # the claimed identity of the report, and of the manifest
                made.append(copy.deepcopy(forged))
                made[-1]["responsePayload"].update(payload)
    return [one for one in made if one != event]


def lies_for(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return plausible but false reports in place of ``report``."""
    manifest = report["manifest"]
    if manifest is None:
        return []
    if (books := manifest["books"]) is not None:
        return [_with(report, books={**books, "records": books["records"] + 1})]
    counters = manifest["counters"]
    made = [_with(report, counters={**counters, "bytes_in": counters["bytes_in"] + 1})]
    whole = Manifest.model_validate(manifest)
    pieces = list(unpack_pieces(whole.pieces or b""))
    for number, piece in enumerate(pieces):
        if piece.length_bytes:
            wrong = [*pieces[:number], piece._replace(crc32c=piece.crc32c ^ 1), *pieces[number + 1 :]]
            made.append(_with(report, pieces=_encoded(whole, pack_pieces(wrong))))
    return made


def garbled(event: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """Return events that are not reports: with missing payloads, or of other content."""
    choices: list[dict[str, Any]] = [
        {"requestContext": event["requestContext"]},
        {**event, "responsePayload": None, "requestPayload": None},
        {**event, "responsePayload": ["no", "report"], "requestPayload": "no request"},
        {"requestContext": {"condition": "Unheard"}, "responsePayload": event.get("responsePayload")},
        {},
    ]
    return choices[faults.below(len(choices))]


def _with(report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**report, "manifest": {**report["manifest"], **changes}}


def _encoded(manifest: Manifest, pieces: bytes) -> Any:
    return manifest.model_copy(update={"pieces": pieces}).model_dump(mode="json")["pieces"]
