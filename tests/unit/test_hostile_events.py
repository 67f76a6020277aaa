"""Events, reports and files that an attacker may have written are handled as data, whatever they contain."""

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
HUGE = 10**4299  # as many digits as Python parses; the sum of ten has one more
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
    for _ in range(900):  # the deepest nesting that Python's parser accepts
        found = [found]
    return found


@pytest.fixture(scope="module")
def world() -> World:
    """A job whose map tasks wait for execution. Examples may change it only a little."""
    made = World(COUNT, {"a.txt": b"x\ny\n"})
    made.submit()
    made.tick()
    return made


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Yield the position of each value in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for at, each in inside for place in places(each, (*path, at)))]


def put(value: Any, path: tuple[Any, ...], instead: Any) -> Any:
    """Return a copy of a document with another value at one position."""
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
def test_an_event_of_any_content_is_handled(world: World, event: Any) -> None:
    assert receive(world.recorder, event) == (None, Verdict.UNREADABLE)


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["RetriesExhausted", "EventAgeExceeded", "Success"]), json, st.data())
@example("RetriesExhausted", {"errorMessage": HUGE}, None)
@example("RetriesExhausted", {"errorMessage": "\ud800"}, None)
def test_a_delivery_with_any_value_at_any_position_is_handled(
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
        assert verdict in (Verdict.FAILED, Verdict.IGNORED)  # a death, whatever the error says


def test_maximally_nested_events_are_handled(world: World) -> None:
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
def test_reports_with_huge_counts_do_not_stop_the_coordinator(counters: dict[str, Any]) -> None:
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
def test_a_job_ends_even_if_its_reports_are_arbitrary(instead: Any, data: Any) -> None:
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


def test_text_that_is_not_utf8_is_refused_at_every_position_of_a_request_or_report(world: World) -> None:
    request = world.sent[0]
    for model, whole in ((TaskRequest, request), (Report, world.execute(request))):
        document = whole.model_dump(mode="json")
        for position in places(document):
            with pytest.raises(ValidationError):
                model.model_validate(put(document, position, "\ud800"))


@settings(max_examples=examples(200))
@given(st.data(), json)
def test_a_request_or_report_with_any_value_at_any_position_is_valid_or_refused(
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
def test_an_arbitrary_round_request_is_refused_or_for_an_unknown_job(world: World, event: Any) -> None:
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
def test_a_success_file_with_any_bytes_is_unchanged_or_refused_in_one_line(junk: bytes, data: Any) -> None:
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
