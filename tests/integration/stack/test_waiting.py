"""Waiting for a job on a stack until it ends, the user presses Ctrl-C, or the credentials expire."""

import json
import re
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.integration.conftest import Finished
from tests.integration.moto_stack import MotoStack
from tests.integration.stack.conftest import COUNTED, Run, job_arguments, job_ids, output, start, submitted
from tests.warm_commands import WarmCommands


def test_run_on_a_stack_waits_for_the_job_and_prints_only_its_result(
    typed: Run, stack: MotoStack, tmp_path: Path, warm_commands: WarmCommands
) -> None:
    running = start(warm_commands, stack, tmp_path, "--json", "--keep-intermediate", "kept")
    (job_id,) = job_ids(stack)
    stack.bring_to_its_end(job_id)
    printed, stderr = running.communicate(timeout=60)
    assert running.returncode == 0, stderr.decode()
    assert json.loads(printed)["output"] == f"s3://{stack.bucket}/output/out"
    assert stderr.decode().startswith(f"job      {job_id} (--stack {stack.name})\n")
    assert "duplicates ignored" in stderr.decode()
    assert re.search(
        r"^requests S3 \d+ writes and lists, \d+ reads \(by workers only\)$", stderr.decode(), re.MULTILINE
    )
    assert output(stack) == COUNTED
    assert (tmp_path / "kept/plan" / job_id / "bundle.zip").is_file()
    assert list((tmp_path / "kept/jobs" / job_id / "map").iterdir())
    again = typed("run", *job_arguments(stack))
    assert again.returncode == 2
    assert b"not empty" in again.stderr


def test_ctrl_c_detaches_and_the_job_keeps_running_until_it_is_cancelled(
    typed: Run, stack: MotoStack, tmp_path: Path, warm_commands: WarmCommands
) -> None:
    running = start(warm_commands, stack, tmp_path)
    (job_id,) = job_ids(stack)
    stack.tick(job_id)
    running.send_signal(signal.SIGINT)
    printed, stderr = running.communicate(timeout=60)
    assert (running.returncode, printed) == (130, b"")
    assert f"job {job_id} keeps running" in stderr.decode()
    assert f"  s3mr watch {job_id} --stack {stack.name}\n" in stderr.decode()
    assert b"Traceback" not in stderr
    assert not json.loads(typed("status", job_id, "--json").stdout)["cancel_requested"]
    asking = typed("cancel", job_id)
    assert (asking.returncode, asking.stdout) == (0, b"")
    assert "(cancelling)" in typed("status", job_id).stdout.decode()
    stack.bring_to_its_end(job_id)
    watched = typed("watch", job_id)
    assert (watched.returncode, watched.stderr) == (1, f"s3mr: the job failed: {job_id} was cancelled\n".encode())
    assert json.loads(typed("cancel", job_id, "--json").stdout) == {"job_id": job_id, "answer": "cancelled"}
    assert output(stack) == []


def test_a_user_exception_ends_the_command_with_the_users_traceback_only(
    typed: Run, stack: MotoStack, tmp_path: Path, warm_commands: WarmCommands
) -> None:
    running = start(warm_commands, stack, tmp_path, job="fails")
    (job_id,) = job_ids(stack)
    stack.bring_to_its_end(job_id)
    printed, stderr = running.communicate(timeout=60)
    assert (running.returncode, printed) == (1, b"")
    text = stderr.decode()
    assert "ValueError: as planned" in text
    assert "source: s3://" in text
    assert 'job.py", line' in text
    assert text.count("Traceback") == 1
    assert "s3mr/" not in text
    shown = typed("status", job_id).stdout.decode()
    assert "phase     failed" in shown
    assert "ValueError: as planned" in shown
    executions = json.loads(typed("history", job_id, "map/0", "--json").stdout)["executions"]
    assert [(one["attempt"], one["verdict"]) for one in executions] == [(1, "failed"), (2, "failed")]
    assert "ValueError" in executions[0]["failure"]["traceback"]


def test_two_threads_that_watch_the_same_job_each_get_its_json(typed: Run, stack: MotoStack) -> None:
    job_id = submitted(typed, stack)
    found: list[Finished] = []
    watching = [threading.Thread(target=lambda: found.append(typed("watch", job_id, "--json"))) for _ in range(2)]
    for thread in watching:
        thread.start()
    stack.bring_to_its_end(job_id)
    for thread in watching:
        thread.join(60)
    assert [json.loads(done.stdout)["job_id"] for done in found] == [job_id, job_id]


def test_expired_credentials_detach_with_status_75_and_the_job_keeps_running(
    typed: Run,
    stack: MotoStack,
    tmp_path: Path,
    no_credentials: Callable[[], AbstractContextManager[None]],
    warm_commands: WarmCommands,
) -> None:
    running = start(warm_commands, stack, tmp_path)
    (job_id,) = job_ids(stack)
    with no_credentials():
        printed, stderr = running.communicate(timeout=60)
        assert (running.returncode, printed) == (75, b"")
        assert b"check the credentials in use" in stderr
        assert f"\njob {job_id} keeps running" in stderr.decode()
        assert f"\n  s3mr watch {job_id} --stack {stack.name}\n" in stderr.decode()
        assert b"the job failed" not in stderr
        assert typed("watch", job_id).returncode == 2
    stack.bring_to_its_end(job_id)
    assert typed("watch", job_id).returncode == 0
    assert output(stack) == COUNTED


def test_watch_copies_the_intermediates_of_a_job_submitted_to_keep_them(
    typed: Run, stack: MotoStack, tmp_path: Path
) -> None:
    kept = submitted(typed, stack, "--keep-intermediate")
    stack.bring_to_its_end(kept)
    watched = typed("watch", kept, "--keep-intermediate", "kept")
    assert watched.returncode == 0, watched.stderr.decode()
    assert (tmp_path / "kept/plan" / kept / "bundle.zip").is_file()
    assert list((tmp_path / "kept/jobs" / kept / "map").iterdir())
    other = submitted(typed, stack, name="other")
    refused = typed("watch", other, "--keep-intermediate", "other")
    assert refused.returncode == 2
    assert b"was submitted without it" in refused.stderr
