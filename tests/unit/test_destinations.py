"""Records from Lambda's destinations, and what user code may send instead."""

from typing import Any

import pytest

from s3mr import limits
from s3mr.api import Job
from s3mr.coordinator.destinations import receive
from s3mr.coordinator.recorder import Verdict
from s3mr.model.job import FailureKind, Phase
from s3mr.model.report import TaskRequest
from tests.world import World

COUNT = Job(map=lambda _, line: [(line, 1)], reduce=lambda key, ones: [(key, sum(ones))])


@pytest.fixture
def one() -> World:
    started = World(COUNT, {"a.txt": b"x\ny\n"})
    started.submit()
    started.tick()
    return started


def delivery(request: TaskRequest, condition: str = "Success", response: Any = None) -> dict[str, Any]:
    """Return a destination's record, as the developer guide shows it."""
    return {
        "version": "1.0",
        "timestamp": "2026-11-14T18:16:05.568Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:s3mr-map:7",
            "condition": condition,
            "approximateInvokeCount": 1,
        },
        "requestPayload": request.model_dump(mode="json"),
        "responseContext": {"statusCode": 200, "executedVersion": "7"},
        "responsePayload": response,
    }


def test_a_success_is_the_workers_report(one: World) -> None:
    request = one.sent.popleft()
    event = delivery(request, response=one.execute(request).model_dump(mode="json"))
    assert receive(one.recorder, event)[1] is Verdict.WON
    assert receive(one.recorder, event)[1] is Verdict.IGNORED


def test_a_death_is_a_crash_with_lambdas_error(one: World) -> None:
    dead = {"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: 1 Error: Task timed out after 900.00 seconds"}
    report, verdict = receive(one.recorder, delivery(one.sent[0], "RetriesExhausted", dead))
    assert verdict is Verdict.FAILED
    assert report is not None
    assert report.failure is not None
    assert report.failure.kind is FailureKind.CRASH
    assert "timed out after 900.00 seconds" in report.failure.message


@pytest.mark.parametrize(
    "response", [None, "text", [1], {}, {"errorMessage": {"not": "text"}}, {"errorMessage": "x" * 9_999}]
)
def test_a_death_is_a_crash_whatever_lambda_reports(one: World, response: object) -> None:
    assert receive(one.recorder, delivery(one.sent[0], "RetriesExhausted", response))[1] is Verdict.FAILED


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("EventAgeExceeded", "no free capacity to start it within 60 s"),
        ("ZeroReservedConcurrency", "reserved concurrency is 0"),
    ],
)
def test_an_attempt_that_lambda_throttled_costs_none(one: World, condition: str, why: str) -> None:
    report, _ = receive(one.recorder, delivery(one.sent[0], condition))
    assert report is not None
    assert report.failure is not None
    assert report.failure.kind is FailureKind.NO_ROOM
    assert why in report.failure.message
    one.sent.clear()
    state = one.finish()
    assert state.phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    "change",
    [
        {"responsePayload": None},
        {"responsePayload": "no report"},
        {"responsePayload": {"job_id": "x"}},
        {"requestContext": {}},
        {"requestContext": {"condition": "Sunshine"}},
        {"requestContext": None},
    ],
)
def test_an_event_that_is_not_a_report_changes_nothing_and_is_not_retried(one: World, change: dict[str, Any]) -> None:
    before = one.state()
    request = one.sent[0]
    event = {**delivery(request, response=one.execute(request).model_dump(mode="json")), **change}
    assert receive(one.recorder, event) == (None, Verdict.UNREADABLE)
    assert one.state() == before
    assert not one.real_store.log


@pytest.mark.parametrize("event", [None, [], "x", 7, {}, {"requestPayload": {}}])
def test_an_event_of_any_shape_is_handled(one: World, event: object) -> None:
    assert receive(one.recorder, event) == (None, Verdict.UNREADABLE)


def test_without_payloads_an_attempt_ends_by_its_lease(one: World) -> None:
    event = delivery(one.sent[0], "RetriesExhausted")
    del event["requestPayload"]
    del event["responsePayload"]
    assert receive(one.recorder, event) == (None, Verdict.UNREADABLE)
    one.sent.clear()
    assert one.finish().retried == 1


@pytest.mark.parametrize(
    "change", [{"task": 10**1200}, {"attempt": 10**1200}, {"attempt": limits.ATTEMPT_NUMBER_MAX + 1}, {"task": -1}]
)
def test_a_forged_report_for_an_impossible_task_is_unreadable_and_not_stored(
    one: World, change: dict[str, Any]
) -> None:
    request = one.sent[0]
    report = {**one.execute(request).model_dump(mode="json"), **change}
    assert receive(one.recorder, delivery(request, response=report)) == (None, Verdict.UNREADABLE)


def test_a_manifest_that_could_not_be_read_back_is_refused(one: World) -> None:
    request = one.sent[0]
    report = one.execute(request).model_dump(mode="json")
    report["manifest"]["duration_s"] = float("inf")
    assert receive(one.recorder, delivery(request, response=report)) == (None, Verdict.UNREADABLE)


def test_a_report_without_the_mark_of_a_functions_own_process_is_forged(one: World) -> None:
    request = one.sent.popleft()
    report = one.execute(request)
    unmarked = delivery(request, response=report.model_dump(mode="json"))
    another = delivery(request, response=report.marked("another key").model_dump(mode="json"))
    marked = report.marked("key")
    assert marked.manifest
    changed = marked.manifest.model_copy(update={"duration_s": marked.manifest.duration_s + 1})
    forged = delivery(request, response=marked.model_copy(update={"manifest": changed}).model_dump(mode="json"))
    for event in (unmarked, another, forged):
        assert receive(one.recorder, event, "key")[1] is Verdict.FORGED
    true = delivery(request, response=marked.model_dump(mode="json"))
    assert receive(one.recorder, true, "key")[1] is Verdict.WON


def test_an_environment_that_exits_before_serving_another_bundle_costs_no_attempt(one: World) -> None:
    ended = f"RequestId: 1 Error: Runtime exited with error: exit status {limits.ENVIRONMENT_ENDED_STATUS}"
    dead = {"errorType": "Runtime.ExitError", "errorMessage": ended}
    report, verdict = receive(one.recorder, delivery(one.sent[0], "RetriesExhausted", dead))
    assert verdict is Verdict.FAILED
    assert report is not None
    assert report.failure is not None
    assert report.failure.kind is FailureKind.TRANSIENT
