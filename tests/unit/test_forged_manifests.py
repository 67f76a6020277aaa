"""A manifest may be forged by user code: it can harm only its own job."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from s3mr import limits
from s3mr.adapters.aws.dynamodb_items import attempt_item, job_item, manifest_item, read_manifest
from s3mr.api import Job
from s3mr.coordinator.destinations import receive
from s3mr.coordinator.recorder import Verdict
from s3mr.model.job import FailureKind, Phase
from s3mr.model.manifest import Manifest
from s3mr.model.statistics import Counters
from tests.slow import examples
from tests.unit.test_hostile_events import json, places, put
from tests.world import World

COUNT = Job(map=lambda _, line: [((line, 1), 1)], reduce=lambda key, ones: [(key, sum(ones))])
DEEP = "tuple[" * 2_000 + "]" * 2_000
texts = st.sampled_from(
    ["\ud800", "\0" * 900, "é" * 1_024, "x" * 5_000, DEEP, "tuple[str,int]", "tuple[int,str]", "bytes"]
)
numbers = st.integers(0, 2**70) | st.sampled_from([2**32 - 1, 2**53, 2**64 - 1, 10**4299, 1e308, -1])
forged = json | texts | numbers
FORGED_AT = {
    "etags": st.lists(texts, max_size=3) | st.just(["x" * 64] * limits.UPLOAD_PARTS_MAX),
    "pieces": st.binary(min_size=36, max_size=36).map(lambda data: b64encode(data).decode()),
}


def item_bytes(item: dict[str, Any]) -> int:
    return sum(len(name) + len(str(next(iter(value.values()))).encode()) for name, value in item.items())


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([Phase.MAP, Phase.REDUCE]), st.data())
def test_a_job_with_invented_manifests_ends_and_the_coordinator_keeps_working(phase: Phase, data: Any) -> None:
    made = World(COUNT, {"a.txt": b"x\ny\n"})
    made.submit()
    made.tick()
    for _ in range(400):
        if made.sent and made.sent[0].phase is phase:
            request = made.sent.popleft()
            true = made.execute(request).model_dump(mode="json")
            manifest = true["manifest"]
            at = data.draw(st.sampled_from(places(manifest)))
            made_up = put(manifest, at, data.draw(FORGED_AT.get(at[-1] if at else "", forged)))
            event = {"requestContext": {"condition": "Success"}, "responsePayload": {**true, "manifest": made_up}}
            report, verdict = receive(made.recorder, event)
            assert verdict in Verdict
            if report is not None:
                assert item_bytes(attempt_item(made.state(), report, verdict=verdict, at=1.0)) < limits.ITEM_BYTES_MAX
        elif made.sent:
            made.record(made.execute(made.sent.popleft()))
        tick = made.tick()
        assert item_bytes(job_item(tick.job)) < limits.ITEM_BYTES_MAX
        if tick.over:
            break
        if not made.sent:
            made.clock.sleep(200)
    assert made.state().phase in (Phase.SUCCEEDED, Phase.FAILED)


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_an_accepted_manifest_fits_into_its_item_and_is_read_back_unchanged(data: Any) -> None:
    made = World(COUNT, {"a.txt": b"x\ny\n"})
    made.submit()
    made.tick()
    manifest = made.execute(made.sent[0]).model_dump(mode="json")["manifest"]
    part = {"name": "part-00000", "upload": "u", "worker": "0" * 16, "etags": ["e"], "size_bytes": 1, "records": 1}
    manifest["part"] = {**part, "crc32c": 1}
    manifest["books"] = {"records": 1, "checksum": 1}
    at = data.draw(st.sampled_from(places(manifest)))
    try:
        read = Manifest.model_validate(put(manifest, at, data.draw(FORGED_AT.get(at[-1] if at else "", forged))))
    except ValidationError:
        return
    item = manifest_item(made.state(), read)
    assert item_bytes(item) < limits.ITEM_BYTES_MAX
    assert read_manifest(item) == read


@pytest.mark.parametrize(
    "name",
    [
        DEEP,
        "tuple[" * 33 + "]" * 33,
        "tuple[int",
        "int]",
        "tuple[int,]",
        "tuple[,int]",
        "complex",
        "",
        "int\n",
        "tuple[int]str",
    ],
)
def test_a_manifest_with_an_invalid_type_of_keys_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Manifest.model_validate(_manifest(key_type=name))


@pytest.mark.parametrize("name", ["str", "tuple[]", "tuple[int,tuple[str,bytes],float]", "tuple[" * 32 + "]" * 32])
def test_every_valid_type_of_keys_is_accepted(name: str) -> None:
    assert Manifest.model_validate(_manifest(key_type=name)).key_type == name


def test_keys_whose_type_name_is_too_long_are_a_users_error_in_their_task() -> None:
    wide = Job(map=lambda _, _line: [((1,) * 2_000, 1)], reduce=COUNT.reduce)
    made = World(wide, {"a.txt": b"x\n"})
    made.submit()
    job = made.finish()
    assert job.phase is Phase.FAILED
    assert job.failure
    assert job.failure.kind is FailureKind.USER
    assert "use tuples of fewer items" in job.failure.message


def test_unknown_operation_names_are_counted_but_not_stored() -> None:
    total = Counters()
    for number in range(1_000):
        total += Counters(requests={"s3:PutObject": 1, f"made:Up{number}": 1})
    assert len(total.requests) <= limits.REQUEST_NAMES_MAX
    assert total.requests["s3:PutObject"] == 1_000
    assert sum(total.requests.values()) == 2_000


def _manifest(**changes: Any) -> dict[str, Any]:
    counters = Counters().model_dump()
    own = {"phase": "map", "task": 0, "attempt": 1, "worker": "0" * 16, "duration_s": 1.0, "counters": counters}
    return {**own, **changes}
