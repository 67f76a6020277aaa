"""Whole jobs on the deployed template produce the output of a sequential program, despite failures."""

import os
import signal
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest

from tests.deployed.harness.constants import ROOT
from tests.deployed.harness.person import Person
from tests.deployed.harness.waiting import until

WORDCOUNT = ROOT / "examples" / "wordcount.py"


def test_word_counts_equal_those_of_a_sequential_program(
    person: Person, books: list[str], expected_counts: list[str]
) -> None:
    output = person.output()
    options = ("--reducers", "3", "--split-size", sixth_of(books))
    result = person.ask("run", WORDCOUNT, person.upload(*books), "--output", output, *options)
    assert sorted(person.lines(output)) == expected_counts
    assert (result["parts"], result["retried"]) == (3, 0)


@pytest.mark.usefixtures("late_and_duplicate_events")
def test_late_and_duplicate_events_change_nothing(person: Person, books: list[str], expected_counts: list[str]) -> None:
    output = person.output()
    options = ("--reducers", "2", "--split-size", sixth_of(books))
    result = person.ask("run", WORDCOUNT, person.upload(*books), "--output", output, *options)
    assert sorted(person.lines(output)) == expected_counts
    assert result["duplicates_ignored"] > 0


def test_a_job_without_reduce_writes_a_part_for_each_map_task(person: Person) -> None:
    job = person.job("def upper(source, line):\n    yield line.upper(), 1\njob = Job(map=upper)")
    output = person.output()
    person.run("run", job, person.upload("a", "b"), "--output", output, "--split-size", "1")
    assert person.names(output) == ["_SUCCESS", "part-00000", "part-00001"]
    assert person.lines(output) == ["A\t1", "B\t1"]


def test_the_stacks_own_bucket_can_hold_inputs_and_outputs(person: Person) -> None:
    bucket = person.stack.outputs["BucketName"]
    person.s3.put_object(Bucket=bucket, Key="input/own/a.txt", Body=b"one two one")
    person.run(
        "run", WORDCOUNT, f"s3://{bucket}/input/own/", "--output", f"s3://{bucket}/output/own/", "--reducers", "1"
    )
    part = person.s3.get_object(Bucket=bucket, Key="output/own/part-00000")["Body"].read()
    assert part == b"one\t2\ntwo\t1\n"
    assert person.s3.get_object(Bucket=bucket, Key="output/own/_SUCCESS")["Body"].read()


def test_a_job_can_import_the_packages_that_it_requires(person: Person, tmp_path: Path) -> None:
    wheel(tmp_path / "louder-1.0-py3-none-any.whl", "louder", "def loud(text):\n    return text.upper() + '!'\n")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {tmp_path}\nlouder==1.0\n")
    code = """
        def shout(source, line):
            import louder
            yield louder.loud(line), 1
        job = Job(map=shout)
    """
    output = person.output()
    person.run("run", person.job(code), person.upload("hello"), "--output", output, "--requirements", requirements)
    assert person.lines(output) == ["HELLO!\t1"]


def test_a_worker_that_dies_is_replaced_and_its_task_is_retried(person: Person, tmp_path: Path) -> None:
    code = """
        import os, pathlib
        def once(source, line):
            mark = pathlib.Path(params["mark"])
            if not mark.exists():
                mark.touch()
                os._exit(1)
            yield line, 1
        job = Job(map=once)
    """
    output = person.output()
    mark = f"mark={tmp_path / 'mark'}"
    result = person.ask("run", person.job(code), person.upload("a"), "--output", output, "--param", mark)
    assert person.lines(output) == ["a\t1"]
    assert result["retried"] == 1
    (failed, won) = person.ask("history", result["job_id"], "map/0")["executions"]
    assert (failed["verdict"], won["verdict"]) == ("failed", "won")
    assert "status 1" in failed["failure"]["message"]


def test_the_task_of_a_function_that_dies_is_reported_by_lambda_and_retried(person: Person, tmp_path: Path) -> None:
    """The whole environment dies, not only the process that runs user code: Lambda's failure destination reports it."""
    code = """
        import os, pathlib, signal
        def wait(source, line):
            mark = pathlib.Path(params["mark"])
            if not mark.exists():
                mark.with_suffix(".new").write_text(str(os.getppid()))
                mark.with_suffix(".new").rename(mark)
                signal.pause()
            yield line, 1
        job = Job(map=wait)
    """
    output, mark = person.output(), tmp_path / "mark"

    def kill() -> None:
        until(mark.exists)
        template = Path(f"/proc/{mark.read_text()}/stat").read_text()
        os.kill(int(template.rpartition(")")[2].split()[1]), signal.SIGKILL)  # the parent process: the function's own

    with ThreadPoolExecutor(1) as others:
        killing = others.submit(kill)
        result = person.ask("run", person.job(code), person.upload("a"), "--output", output, "--param", f"mark={mark}")
        killing.result()
    assert person.lines(output) == ["a\t1"]
    (failed, _won) = person.ask("history", result["job_id"], "map/0")["executions"]
    assert "signal: killed" in failed["failure"]["message"]


def test_an_exception_in_user_code_fails_the_job_and_is_shown_with_its_traceback(person: Person) -> None:
    code = """
        def broken(source, line):
            print("about to break")
            raise ZeroDivisionError("by " + line)
            yield
        job = Job(map=broken)
    """
    output = person.output()
    failed = person.run("run", person.job(code), person.upload("nought"), "--output", output, expect=1)
    assert "ZeroDivisionError: by nought" in failed.stderr
    assert "in broken" in failed.stderr
    assert person.names(output) == []
    (job, *_) = person.ask("ls", "--count", "1")["jobs"]
    assert job["failure"]["kind"] == "user"
    assert "about to break" in person.run("logs", job["job_id"], "--task", "map/0").stdout


def test_concurrent_jobs_each_run_their_own_code(person: Person, tmp_path: Path) -> None:
    outputs = [person.output(), person.output()]
    commands = []
    for number, output in enumerate(outputs):
        folder = tmp_path / f"own-{number}"
        folder.mkdir()
        (folder / "shared.py").write_text(f"ANSWER = {number}\n")
        (folder / "job.py").write_text(dedent(
            """
            import shared
            from s3mr import Job
            def answer(source, line):
                yield line, shared.ANSWER
            job = Job(map=answer)
            """
        ))  # fmt: skip
        arguments = (
            folder / "job.py",
            person.upload(*"abcd"),
            "--output",
            output,
            "--split-size",
            "1",
            "--workers",
            "1",
        )
        commands.append(("run", *arguments))
    person.run_all(commands)
    for number, output in enumerate(outputs):
        assert person.lines(output) == [f"{letter}\t{number}" for letter in "abcd"]


def sixth_of(books: list[str]) -> str:
    """Return a split size that gives about six map tasks."""
    return str(sum(len(text.encode()) for text in books) // 6)


def wheel(path: Path, name: str, code: str) -> None:
    """Make a wheel of one module."""
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
