"""What stands in events, reports and files that somebody else may have written is read as data, whatever it is."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from s3mr.api import Job
from s3mr.coordinator.destinations import receive
from s3mr.coordinator.recorder import Verdict
from s3mr.coordinator.tick_round import perform
from s3mr.coordinator.ticker import NoSuchJobError
from s3mr.model.job import Phase
from s3mr.model.report import Report, TaskRequest
from s3mr.model.success import Success
from tests.slow import examples
from tests.world import World

COUNT = Job(map=lambda _, line: [(line, 1)], reduce=lambda key, ones: [(key, sum(ones))])
HUGE = 10**4299  # as many digits as Python reads; the sum of ten has one more
odd = st.sampled_from(
    ["", "\0", "\n", "..", "../../x", "/x", "\ud800", "x" * 9_000, "é" * 1_024, HUGE, -HUGE, 1e308, float("nan")]
)
json = st.recursive(
    odd | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def deep() -> Any:
    found: Any = []
    for _ in range(900):  # as deep as Python's parser goes
        found = [found]
    return found


@pytest.fixture(scope="module")
def world() -> World:
    """A job whose map tasks wait to be executed; what examples do to it must not be much."""
    made = World(COUNT, {"a.txt": b"x\ny\n"})
    made.submit()
    made.tick()
    return made


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for at, each in inside for place in places(each, (*path, at)))]


def put(value: Any, path: tuple[Any, ...], instead: Any) -> Any:
    """A copy of a document with something else at one place."""
    if not path:
        return instead
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = put(changed[path[0]], path[1:], instead)
    return changed


def delivery(world: World, condition: str, response: Any) -> dict[str, Any]:
    return {
        "requestContext": {"condition": condition},
        "requestPayload": world.sent[0].model_dump(mode="json"),
        "responsePayload": response,
    }


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])
@given(json)
def test_an_event_of_any_content_is_survived(world: World, event: Any) -> None:
    assert receive(world.recorder, event) == (None, Verdict.UNREADABLE)


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["RetriesExhausted", "EventAgeExceeded", "Success"]), json, st.data())
@example("RetriesExhausted", {"errorMessage": HUGE}, None)
@example("RetriesExhausted", {"errorMessage": "\ud800"}, None)
def test_a_delivery_with_anything_at_any_place_is_survived(
    world: World, condition: str, instead: Any, data: st.DataObject | None
) -> None:
    report = world.execute(world.sent[0]).model_dump(mode="json")
    event = delivery(world, condition, report if condition == "Success" else {"errorMessage": "died"})
    if data is None:
        event["responsePayload"] = instead
    else:
        event = put(event, data.draw(st.sampled_from(places(event))), instead)
    verdict = receive(world.recorder, event)[1]
    assert verdict in Verdict
    if data is None:
        assert verdict in (Verdict.FAILED, Verdict.IGNORED)  # a death, whatever is said of it


def test_events_nested_as_deep_as_json_can_be_are_survived(world: World) -> None:
    assert receive(world.recorder, deep()) == (None, Verdict.UNREADABLE)
    dead = delivery(world, "RetriesExhausted", {"errorMessage": deep()})
    assert receive(world.recorder, dead)[1] in (Verdict.FAILED, Verdict.IGNORED)
    with pytest.raises(ValidationError):
        perform(world.ticker(), {"job_id": deep()}, world.clock)


@pytest.mark.parametrize(
    "counters",
    [
        {"records_in": HUGE},
        {"records_in": -1},
        {"busy_s": 1e308},
        {"requests": {"s3:PutObject": HUGE}},
        {"requests": {"x": -1}},
    ],
)
def test_reports_that_count_beyond_all_bounds_do_not_stop_the_coordinator(counters: dict[str, Any]) -> None:
    made = World(COUNT, {"a.txt": b"some\nlines\nin\nmore\nthan\none\ntask\n" * 10})
    made.submit()
    made.tick()
    for request in list(made.sent):
        report = made.execute(request).model_dump(mode="json")
        report["manifest"]["counters"] |= counters
        receive(made.recorder, delivery(made, "Success", report))
    made.sent.clear()
    assert made.finish().phase in (Phase.SUCCEEDED, Phase.FAILED)
    assert made.state().model_dump_json()


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(json, st.data())
def test_a_job_that_was_told_anything_in_the_place_of_a_report_ends_all_the_same(instead: Any, data: Any) -> None:
    made = World(COUNT, {"a.txt": b"x\ny\n"})
    made.submit()
    made.tick()
    for request in list(made.sent):
        report = made.execute(request).model_dump(mode="json")
        receive(
            made.recorder, delivery(made, "Success", put(report, data.draw(st.sampled_from(places(report))), instead))
        )
    made.sent.clear()
    for _ in range(100):
        made.clock.sleep(200)
        if (tick := made.tick()).over:
            break
        made.work()
    assert tick.job.phase in (Phase.SUCCEEDED, Phase.FAILED)


@settings(max_examples=examples(200))
@given(st.data(), json)
def test_a_request_or_report_with_anything_at_any_place_is_one_or_refused(
    world: World, data: Any, instead: Any
) -> None:
    request = world.sent[0]
    for model, whole in ((TaskRequest, request), (Report, world.execute(request))):
        document = whole.model_dump(mode="json")
        try:
            read = model.model_validate(put(document, data.draw(st.sampled_from(places(document))), instead))
        except ValidationError:
            continue
        assert model.model_validate_json(read.model_dump_json()) == read


@settings(max_examples=examples(300))
@given(json | st.fixed_dictionaries({"job_id": json}, optional={"round": json, "stop": json}))
@example({"job_id": "\0", "stop": "\ud800"})
def test_a_round_that_is_asked_for_anyhow_is_refused_or_of_no_job(world: World, event: Any) -> None:
    try:
        answer = perform(world.ticker(), event, world.clock)
    except (ValidationError, NoSuchJobError):
        return
    assert answer["phase"] == "gone"


SUCCESS = Success.model_validate(
    {
        "job_id": "j",
        "counters": dict.fromkeys(
            ("records_in", "bytes_in", "pairs_mapped", "shuffle_records", "shuffle_bytes", "records_out", "bytes_out"),
            1,
        ),
        "parts": tuple(
            {"name": f"part-0000{at}", "size_bytes": at, "records": at, "crc32c": "0" * 8} for at in range(3)
        ),
    }
)


@settings(max_examples=examples(300))
@given(st.binary(max_size=60), st.data())
@example(b"[" * 100_000, None)
@example(b"{", None)
@example(b"\xff", None)
@example(b'{"job_id":"\\ud800"}', None)
@example(SUCCESS.encode().replace(b'"name"', b'"\\nname"'), None)
def test_a_success_of_any_bytes_is_what_was_written_or_refused_in_one_line(junk: bytes, data: Any) -> None:
    whole = SUCCESS.encode()
    encoded = junk
    if data is not None:
        start, stop = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
        encoded = whole[:start] + junk + whole[stop:]
    try:
        read = Success.decode(encoded)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - some examples are what was written
        return
    assert Success.decode(read.encode()) == read
