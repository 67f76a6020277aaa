"""The command line before it does anything: help, options, durations, tables."""

import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from s3mr.cli import options, tables
from s3mr.cli.main import COMMANDS, commands
from s3mr.cli.options import Asked, Decorator, Place, job_options, place_option, place_to_run_option
from s3mr.errors import RequestError
from s3mr.options import RunOptions, Where, declared, flag_of
from s3mr.quantities import format_duration, parse_duration

HEAVY = {"boto3", "botocore", "moto", "pydantic", "rich", "msgpack", "zstandard"}
RUN = ["job.py", "in.txt"]


def command_of(name: str) -> click.Command:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return command


def parsed(decorate: Decorator, arguments: list[str], **environment: str) -> dict[str, Any]:
    """Return the options that a command with this decorator gets for these arguments."""
    given: dict[str, Any] = {}

    def command(**values: Any) -> None:
        given.update(values)

    CliRunner().invoke(
        click.command("command")(decorate(command)),
        arguments,
        env=environment,
        standalone_mode=False,
        catch_exceptions=False,
    )
    return given


def test_help_and_version_import_no_slow_modules() -> None:
    code = f"""
import sys
from s3mr.cli.main import commands
for arguments in (["--help"], ["run", "--help"], ["doctor", "--help"], ["--version"]):
    try:
        commands.main(arguments)
    except SystemExit as ended:
        assert not ended.code
print({sorted(HEAVY)!r} and sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"


def test_commands_are_listed_in_the_order_of_a_jobs_life_on_one_line_each() -> None:
    printed = CliRunner().invoke(commands, ["--help"], terminal_width=80).output
    listed = [line.split()[0] for line in printed.partition("Commands:\n")[2].splitlines()]
    assert listed == [
        "run", "submit", "status", "watch", "ls", "logs", "history", "cancel", "resume", "clean", "verify", "doctor"
    ]  # fmt: skip
    for name in listed:
        assert command_of(name).get_short_help_str(200).endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_an_example(name: str) -> None:
    command = command_of(name)
    assert "as_json" in {parameter.name for parameter in command.params}
    assert f"s3mr {name} " in (command.help or "")
    assert f"usage: s3mr {name}" in CliRunner().invoke(commands, [name, "--help"], prog_name="s3mr").output.lower()


def test_command_line_arguments_become_options() -> None:
    typed = [
        *RUN, "two.txt", "--output", "out", "--reducers", "3", "--workers", "2", "--split-size", "1MiB",
        "--layout", "packed", "--memory", "32MiB", "--attempts", "2", "--task-timeout", "9",
        "--deadline", "30m", "--param", "a=b=c",
        "--param", "d=", "--include", "x", "--include", "y", "--requirements", "r.txt", "--requester-pays",
        "--input-format", "whole",
    ]  # fmt: skip
    asked: Asked = parsed(job_options("run"), [*typed, "--chaos", "dup=1"])["asked"]
    made = asked.options
    assert (asked.job, asked.inputs, made.params) == ("job.py", ("in.txt", "two.txt"), {"a": "b=c", "d": ""})
    assert (made.output, made.reducers, made.workers, made.layout) == ("out", 3, 2, "packed")
    assert (made.task_timeout_s, made.deadline, made.requester_pays) == (9.0, "30m", True)
    assert [*made.include, made.requirements] == ["x", "y", "r.txt"]
    assert made.chaos == "dup=1"


def test_options_that_are_not_given_keep_their_defaults() -> None:
    assert parsed(job_options("run"), RUN)["asked"].options == RunOptions()


@pytest.mark.parametrize("where", ["run", "submit"])
def test_the_command_line_has_every_option_that_applies_with_its_help_and_default(where: Where) -> None:
    accepted = {parameter.name: parameter for parameter in command_of(where).params}
    shown = " ".join(CliRunner().invoke(commands, [where, "--help"], terminal_width=300).output.split())
    for name, (_, about) in declared(RunOptions).items():
        assert (name in accepted) == (where in about.where)
        if where in about.where:
            assert flag_of(name, about) in shown
            assert " ".join(about.help.split()) in shown
            assert about.default is None or f"[default: {about.default}]" in shown


@pytest.mark.parametrize("param", ["a", "=b", ""])
def test_a_parameter_without_name_or_value_is_refused(param: str) -> None:
    with pytest.raises(RequestError, match="write NAME=VALUE"):
        parsed(job_options("run"), [*RUN, "--param", param])


def test_a_place_is_given_by_an_option_or_a_variable() -> None:
    assert parsed(place_option, ["--stack", "a"])["place"] == Place("a", None)
    assert parsed(place_option, [], S3MR_STACK="b")["place"] == Place("b", None)
    assert parsed(place_option, ["--stack", "a"], S3MR_STACK="b")["place"] == Place("a", None)
    assert parsed(place_option, ["--endpoint-url", "u"], S3MR_STACK="b")["place"] == Place(None, "u")
    assert parsed(place_option, [], S3MR_STACK="")["place"] == Place(None, None)


def test_a_variable_never_makes_a_run_cost_money() -> None:
    assert parsed(place_to_run_option, [], S3MR_STACK="b")["place"] == Place(None, None)


def test_two_places_are_refused_and_so_is_a_missing_one() -> None:
    with pytest.raises(RequestError, match="exclude each other"):
        parsed(place_option, ["--stack", "a", "--endpoint-url", "u"])
    with pytest.raises(RequestError, match=f"--stack NAME .or set {options.STACK_VARIABLE}., or --endpoint-url URL"):
        Place(None, None).open()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", *RUN, "--stack", "s"], "--stack needs --output"),
        (["run", *RUN, "--json"], "--json needs --output"),
        (
            ["run", *RUN, "--stack", "s", "--output", "s3://b/o", "--chaos", "dup=1"],
            "--chaos is for workers on this machine",
        ),
        (["submit", *RUN, "--stack", "s"], "submit needs --output"),
        (["submit", *RUN, "--output", "s3://b/o"], "submit needs --stack"),
        (["submit", *RUN, "--output", "s3://b/o", "--endpoint-url", "u"], "submit needs --stack"),
        (["resume", "id", "--stack", "s", "--chaos", "dup=1"], "--chaos is for workers on this machine"),
        (["resume", "id", "--endpoint-url", "u", "--detach"], "--detach needs --stack"),
        (["resume", "id", "--stack", "s", "--workers", "3"], "--workers is for workers on this machine"),
        (["resume", "id"], "no place is named"),
        (["status", "id"], "no place is named"),
        (["logs", "id"], "no place is named"),
        (["logs", "id", "--endpoint-url", "u"], "logs needs --stack"),
        (["logs", "id", "--stack", "s", "--task", "x"], "write map/3 or reduce/0"),
        (["history", "id", "x", "--stack", "s"], "write map/3 or reduce/0"),
        (["ls", "--stack", "s", "--count", "0"], "--count must be from 1"),
        (["doctor"], "no stack is named"),
    ],
)
def test_invalid_combinations_are_refused_before_any_request_to_aws(arguments: list[str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        CliRunner().invoke(commands, arguments, env={"S3MR_STACK": ""}, standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("30s", 30), ("30m", 1800), ("12h", 43_200), ("6d", 518_400), (" 1h ", 3600)],
)
def test_durations_are_seconds_or_have_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0h", "-1", "1w", "1 h", "1h30m", "inf", "nan", "1e3", "h"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="write seconds, or minutes, hours or days"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.6, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (97_200, "1 d 3 h"),
        (86_461, "1 d"),
    ],
)
def test_durations_are_shown_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_columns_are_as_wide_as_needed_and_numbers_are_right_aligned() -> None:
    shown = tables.table(("job", " tasks", "output"), [("a", "1/10", "s3://x"), ("longer", "10/10", "")])
    assert shown.splitlines() == ["job     tasks  output", "a        1/10  s3://x", "longer  10/10"]
    assert tables.fields([("job", "a"), ("output", "b")]).splitlines() == ["job     a", "output  b"]
    assert (tables.shortened("12345", 4), tables.shortened("1234", 4)) == ("123…", "1234")
