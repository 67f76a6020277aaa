"""``s3mr resume --endpoint-url``: another command finishes a job whose command ended."""

import signal
from collections import Counter
from itertools import count
from threading import Event

import pytest
from mypy_boto3_s3 import S3Client

from s3mr.errors import RequestError
from s3mr.model import object_names
from s3mr.model.job import Phase
from tests.integration.conftest import RUN_S_MAX
from tests.integration.endpoint.conftest import EXPECTED, INPUTS, Place, lines_in, lines_of
from tests.integration.endpoint.storms import proxy_of
from tests.integration.test_processes import GONE_S_MAX, until
from tests.slow import slow


@pytest.mark.parametrize(
    ("phase", "held", "output"),
    [
        (Phase.MAP, "map c.txt", "a folder"),
        (Phase.REDUCE, "reduce both", "S3"),
        (Phase.REDUCE, "reduce both", "standard output"),
        pytest.param(Phase.REDUCE, "reduce both", "a folder", marks=slow),
        pytest.param(Phase.MAP, "map c.txt", "S3", marks=slow),
        pytest.param(Phase.MAP, "map c.txt", "standard output", marks=slow),
    ],
)
def test_a_job_stopped_by_kill_9_resumes_and_runs_only_unfinished_tasks(
    place: Place, s3: S3Client, bucket: str, phase: Phase, held: str, output: str
) -> None:
    there = f"s3://{bucket}/out"
    options = {"a folder": ("--output", "out"), "S3": ("--output", there), "standard output": ()}[output]
    job_id = place.killed(phase=phase, held=held, options=options)
    place.assert_no_process()
    done = place.s3mr("resume", job_id, "--quiet", "--workers", "2")
    assert done.returncode == 0, done.stderr.decode()
    found = {
        "a folder": lambda: lines_of(place.here / "out"),
        "S3": lambda: lines_in(s3, bucket, "out"),
        "standard output": lambda: sorted(done.stdout.decode().splitlines()),
    }[output]()
    assert found == EXPECTED
    state = place.newest()
    assert (state.spec.job_id, state.attempts, state.retried) == (job_id, 9, 0)
    assert {what for what, times in Counter(place.log()).items() if times > 1} - {held} <= with_(held)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    place.assert_nothing_left()


def with_(held: str) -> set[str]:
    """The steps that a reduce task repeats if its worker died in it: the words that it had already reduced."""
    return {f"reduce {word}" for word in "abcdef"} if held.startswith("reduce") else set()


@pytest.mark.parametrize("at", [1, 12, 30, 50, 65, 78])
def test_a_command_killed_at_any_request_leaves_nothing_or_a_job_that_can_be_resumed(
    place: Place, endpoint: str, at: int
) -> None:
    requests, reached, killed = count(1), Event(), Event()

    def wait_to_be_killed(_operation: str) -> bool:
        if next(requests) == at:
            reached.set()
            killed.wait(RUN_S_MAX)
        return False

    with proxy_of(endpoint) as proxy:
        proxy.busy = wait_to_be_killed
        place.url = proxy.url
        command = place.start(*place.run("--output", "out", "--quiet"))
        until(reached.is_set, f"the command has sent {at} requests")
        command.kill()
        killed.set()
        command.communicate()
    place.url = endpoint
    place.assert_no_process()
    until(lambda: not list(place.tmp.iterdir()), "no temporary file is left", GONE_S_MAX)
    try:
        existing = place.stack.store.newest(1)
    except RequestError:  # the table does not exist yet
        existing = []
    if not existing:
        assert not [path for path in place.here.iterdir() if path.name.startswith(".")]
        return
    if not existing[0].released:
        done = place.s3mr("resume", existing[0].spec.job_id, "--quiet")
        assert done.returncode == 0, done.stderr.decode()
    assert lines_of(place.here / "out") == EXPECTED
    place.assert_nothing_left()


def test_a_resume_that_is_killed_is_resumed(place: Place) -> None:
    job_id = place.killed(phase=Phase.MAP, held="map c.txt")
    place.write_lines("hold", "reduce both")
    command = place.start("resume", job_id, "--workers", "2")
    until(lambda: "reduce both" in place.log(), "a reduce runs")
    command.kill()
    command.communicate()
    (place.here / "hold").unlink()
    done = place.s3mr("resume", job_id)
    assert done.returncode == 0, done.stderr.decode()
    assert lines_of(place.here / "out") == EXPECTED
    assert place.newest().retried == 0
    place.assert_nothing_left()


def test_two_commands_that_resume_the_same_job_at_once_finish_it_once(place: Place) -> None:
    job_id = place.killed(phase=Phase.MAP, held="map c.txt")
    both = [place.start("resume", job_id, "--workers", "2") for _ in range(2)]
    for command in both:
        _, stderr = command.communicate(timeout=RUN_S_MAX)
        assert command.returncode == 0 or b"there is nothing to resume" in stderr, stderr.decode()
    assert lines_of(place.here / "out") == EXPECTED
    assert place.newest().spec.job_id == job_id
    place.assert_nothing_left()


def test_a_command_that_keeps_running_while_another_resumes_its_job_does_no_harm(place: Place) -> None:
    place.write_lines("hold", "map c.txt")
    first = place.start(*place.run("--output", "out"))
    until(lambda: "map c.txt" in place.log() and place.winners(Phase.MAP) == 5, "one map is held")
    second = place.start("resume", place.newest().spec.job_id, "--workers", "2")
    until(lambda: place.log().count("map c.txt") == 2, "both commands run it")
    (place.here / "hold").unlink()
    for command in (first, second):
        _, stderr = command.communicate(timeout=RUN_S_MAX)
        assert command.returncode == 0, stderr.decode()
    assert lines_of(place.here / "out") == EXPECTED
    place.assert_nothing_left()


def test_ctrl_c_cancels_a_job_and_a_resume_does_not_repeat_finished_tasks(
    place: Place, s3: S3Client, bucket: str
) -> None:
    place.write_lines("hold", "reduce both")
    command = place.start(*place.run("--output", f"s3://{bucket}/out"))
    until(lambda: "reduce both" in place.log(), "a reduce runs")
    command.send_signal(signal.SIGINT)
    _, stderr = command.communicate(timeout=RUN_S_MAX)
    cancelled = place.newest()
    assert (command.returncode, cancelled.phase, cancelled.released) == (130, Phase.CANCELLED, True)
    assert f"nothing was written\ncontinue with: s3mr resume {cancelled.spec.job_id}" in stderr.decode()
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    (place.here / "hold").unlink()
    done = place.s3mr("resume", cancelled.spec.job_id)
    assert done.returncode == 0, done.stderr.decode()
    assert lines_in(s3, bucket, "out") == EXPECTED
    assert place.newest().spec.resumed_from == cancelled.spec.job_id
    assert place.newest().attempts == 3
    place.assert_nothing_left()


@pytest.mark.parametrize("output", ["the same", "another", "standard output"])
def test_a_failed_job_is_resumed_as_a_new_job_that_maps_only_what_is_missing(place: Place, output: str) -> None:
    place.write_lines("broken", "map c.txt")
    options = () if output == "standard output" else ("--output", "out")
    done = place.s3mr(*place.run("--quiet", *options))
    old = place.newest()
    assert (done.returncode, old.phase) == (1, Phase.FAILED)
    assert b"map c.txt is broken" in done.stderr
    assert f"s3mr resume {old.spec.job_id} --endpoint-url {place.url}".encode() in done.stderr
    won = place.winners(Phase.MAP)
    (place.here / "broken").unlink()
    (place.here / "log").unlink()
    more = ("--output", "other") if output == "another" else ()
    done = place.s3mr("resume", old.spec.job_id, "--quiet", *more)
    assert done.returncode == 0, done.stderr.decode()
    found = {
        "the same": lambda: lines_of(place.here / "out"),
        "another": lambda: lines_of(place.here / "other"),
        "standard output": lambda: sorted(done.stdout.decode().splitlines()),
    }[output]()
    assert found == EXPECTED
    mapped = [what for what in place.log() if what.startswith("map")]
    assert len(mapped) == len(INPUTS) - won
    assert "map c.txt" in mapped
    new = place.newest()
    assert (new.spec.resumed_from, new.attempts) == (old.spec.job_id, len(mapped) + 3)
    place.assert_nothing_left()


def test_a_map_only_job_is_resumed_from_the_beginning(place: Place) -> None:
    place.write_lines("broken", "map c.txt")
    arguments = ["run", "job.py:only_map", "in", "--split-size", "1", "--output", "out"]
    assert place.s3mr(*arguments).returncode == 1
    (place.here / "broken").unlink()
    done = place.s3mr("resume", place.newest().spec.job_id)
    assert done.returncode == 0, done.stderr.decode()
    assert lines_of(place.here / "out") == sorted(line for name in "abcdef" for line in (f"{name}\t1", "both\t1"))
    assert place.newest().attempts == len(INPUTS)


@pytest.mark.parametrize("ended", [False, True], ids=["not ended", "failed"])
def test_an_input_that_has_changed_or_vanished_is_refused_by_name(place: Place, *, ended: bool) -> None:
    if ended:
        place.write_lines("broken", "map c.txt")
        place.s3mr(*place.run("--output", "out"))
        job_id = place.newest().spec.job_id
    else:
        job_id = place.killed(phase=Phase.MAP, held="map c.txt")
    before = place.newest()
    refused = place.s3mr("resume", job_id, folder=place.tmp.parent)
    assert refused.returncode == 2
    assert b"vanished since it was planned: in/a.txt; its name is relative" in refused.stderr
    (place.here / "in/d.txt").write_text("changed")
    refused = place.s3mr("resume", job_id)
    assert refused.returncode == 2
    assert b"changed since it was planned: in/d.txt" in refused.stderr
    assert place.newest() == before


def test_a_job_that_cannot_be_resumed_is_refused(place: Place) -> None:
    refused = place.s3mr("resume", "nobody")
    assert refused.returncode == 2
    assert b"there is no job nobody in this table: check --endpoint-url" in refused.stderr
    assert place.s3mr(*place.run("--output", "out")).returncode == 0
    for job_id, message in (("nobody", b"there is no job"), (place.newest().spec.job_id, b"nothing to resume")):
        refused = place.s3mr("resume", job_id)
        assert refused.returncode == 2
        assert message in refused.stderr
    job_id = place.killed(phase=Phase.MAP, held="map c.txt", options=("--output", "out-2"))
    refused = place.s3mr("resume", job_id, "--output", "other")
    assert refused.returncode == 2
    assert b"has not ended" in refused.stderr
    refused = place.s3mr(*place.run("--output", "out-2"))
    assert refused.returncode == 2
    assert f"job {job_id} writes to".encode() in refused.stderr


def test_a_resume_removes_the_files_of_a_command_that_died_after_its_job_ended(place: Place) -> None:
    assert place.s3mr(*place.run("--output", "out", "--quiet")).returncode == 0
    job_id = place.newest().spec.job_id
    place.stack.objects.put(f"{object_names.job_prefix(job_id)}map/late", b"of a doubled execution")
    refused = place.s3mr("resume", job_id)
    assert (refused.returncode, b"has succeeded: there is nothing to resume" in refused.stderr) == (2, True)
    place.assert_nothing_left()


def test_a_job_killed_while_it_was_being_cancelled_is_released_and_resumed(place: Place) -> None:
    job_id = place.killed(phase=Phase.MAP, held="map c.txt")
    place.stack.store.request_cancel(job_id, at=0.0)
    done = place.s3mr("resume", job_id)
    assert done.returncode == 0, done.stderr.decode()
    old = place.stack.store.read_job(job_id)
    assert old is not None
    assert (old.phase, old.released, place.newest().spec.resumed_from) == (Phase.CANCELLED, True, job_id)
    assert lines_of(place.here / "out") == EXPECTED
    place.assert_nothing_left()
