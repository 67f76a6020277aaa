"""A change of stored or sent data must raise the schema version: older commands, workers and jobs must not read it."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import zstandard

from s3mr.adapters.aws import dynamodb_items as items
from s3mr.model import object_names
from s3mr.model.job import SCHEMA_VERSION, AttemptId, JobState, LiveAttempt, Phase
from s3mr.model.manifest import Manifest, Part, Piece, pack_pieces
from s3mr.model.plan import MapTask, Split
from s3mr.model.plan_codec import encode_plan
from s3mr.model.report import Report, TaskRequest
from s3mr.model.statistics import Counters
from s3mr.model.success import PartEntry, Success
from s3mr.shuffle import frames, shuffle_index
from tests.unit.test_scheduler import job as some_job

#: The fingerprint of all stored and sent data, by version. Never change the fingerprint of a released version.
FINGERPRINTS = {3: "40545501e69fc4bc"}

WORKER = "0123456789abcdef"
WORDS_AND_BOUNDS = (
    *("title", "description", "pattern", "minLength", "maxLength", "minItems", "maxItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "maxProperties"),
)


def test_a_change_of_stored_or_sent_data_raises_the_schema_version() -> None:
    found = hashlib.sha256(json.dumps(dict(shapes()), sort_keys=True).encode()).hexdigest()[:16]
    assert FINGERPRINTS[SCHEMA_VERSION] == found, (
        "something that is stored or sent has another shape: raise SCHEMA_VERSION in s3mr/model/job.py and in "
        f"template.yaml, and record {found} here"
    )


def shapes() -> Iterator[tuple[str, Any]]:
    """Yield everything that one process writes and another one reads, by name."""
    for model in (TaskRequest, Report, Manifest, JobState, LiveAttempt, MapTask):
        schema = model.model_json_schema()
        yield model.__name__, fields_of(schema, schema.pop("$defs", {}))
    yield "table", list(stored_items())
    yield "keys", list(names())
    yield "frames", stored_run()
    pieces = pack_pieces([Piece(1, 2, 3), Piece(4, 5, 6)])
    yield "pieces", pieces.hex()
    yield (
        "index",
        [column.hex() for column, _ in shuffle_index.encode_segment([(WORKER, pieces)], layout="packed", reducers=2)],
    )
    plan = bytearray()
    encode_plan([MapTask(splits=(Split(source="a", size_bytes=3, etag="e", start=0, stop=3),))], plan.extend)
    yield "plan", plan.hex()
    yield "success", Success.of("job", Counters(), [PartEntry.of(part())]).encode().decode()


def fields_of(schema: Any, models: dict[str, Any]) -> Any:
    """Return a model's fields and their types, without descriptions, bounds and class names."""
    if isinstance(schema, list):
        return [fields_of(one, models) for one in schema]
    if not isinstance(schema, dict):
        return schema
    fields = {name: fields_of(value, models) for name, value in schema.items() if name not in WORDS_AND_BOUNDS}
    model = fields.pop("$ref", None)
    return fields if model is None else {**fields, **fields_of(models[model.removeprefix("#/$defs/")], models)}


def stored_items() -> Iterator[Any]:
    job, manifest = some_job(1), some_manifest()
    attempt = AttemptId(task=0, attempt=1)
    live = LiveAttempt(phase=Phase.MAP, task=0, attempt=1, backup=False, launched_at=0.0, lease_until=1.0)
    for item in (
        items.job_item(job),
        items.listed_item(job),
        items.cancel_item("job", 0.0),
        items.live_item("job", live),
        items.live_key("job", Phase.MAP, attempt),
        items.manifest_item(job, manifest),
        items.sealed_item(job, Phase.MAP, 0),
        items.claim_key("s3://bucket/out"),
    ):
        yield {name: value for name, value in item.items() if name not in ("body", "expires_at", "pieces")}


def names() -> Iterator[str]:
    yield from object_names.plan_objects("job", map_tasks=1001)
    yield object_names.packed_pieces("job", worker=WORKER, map_task=1)
    yield object_names.split_piece("job", worker=WORKER, map_task=1, partition=2)
    yield object_names.upload_note("job", object_names.OpenedPart(object_names.part(3), WORKER, "id/+="))
    yield from (object_names.SUCCESS, object_names.COMMITTING)


def stored_run() -> list[str]:
    """Return each header's layout, and each body before its compression, which differs between versions of zstd."""
    written = bytearray()
    pairs = [("a", 1), ("a", 2), ("b", [None, True, 1.5, b"x", (1, "é"), {"k": 2**70}, "\udc80"])]
    frames.write_run([pairs], written.extend, frame_bytes=2**16)
    header = frames._HEADER
    body = bytes(written[header.size : header.size + header.unpack_from(written)[0]])
    return [header.format, str(header.unpack_from(written)[1:5]), zstandard.decompress(body).hex()]


def part() -> Part:
    return Part(name=object_names.part(0), upload="u", worker=WORKER, etags=("e",), size_bytes=1, records=1, crc32c=1)


def some_manifest() -> Manifest:
    return Manifest(phase=Phase.MAP, task=0, attempt=1, worker=WORKER, duration_s=1.0, counters=Counters(), part=part())
