"""Text from others cannot control a terminal: all output passes through one place that escapes it."""

import json
import sys
from pathlib import Path

import pytest

import s3mr
from s3mr.adapters.aws.function_logs import LogLine
from s3mr.cli.logs import _line
from s3mr.cli.main import main
from s3mr.cli.streams import harmless, harmless_json, say, say_json
from s3mr.cli.tables import fields, table

HOSTILE = "\x1b]0;title\x07\x1b[2Jred\r\x9b31m\u202etxt\u200e\x00\x7f"


def test_characters_that_control_a_terminal_are_printed_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"café\t{HOSTILE}\nnext")
    say(HOSTILE, err=True)
    seen = capsys.readouterr()
    assert seen.out == ("café\t\\x1b]0;title\\x07\\x1b[2Jred\\r\\x9b31m\\u202etxt\\u200e\\x00\\x7f\nnext\n")
    assert seen.err.isascii()
    assert seen.err.strip("\n").isprintable()


def test_json_is_printed_escaped_with_the_same_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    say_json(json.dumps({"output": HOSTILE, HOSTILE: "é"}, ensure_ascii=False))
    line = capsys.readouterr().out
    assert json.loads(line) == {"output": HOSTILE, HOSTILE: "é"}
    assert line.strip("\n").isprintable()


@pytest.mark.parametrize(
    "character", [*map(chr, range(32)), *map(chr, range(127, 160)), *"\u061c\u200e\u200f\u202a\u2066\u2069"]
)
def test_control_and_direction_characters_are_escaped_except_newline_and_tab(character: str) -> None:
    assert (harmless(character) == character) == (character in "\n\t")
    assert json.loads(f'"{harmless_json(character)}"', strict=False) == character


def test_an_invalid_command_line_is_shown_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["s3mr", "status", "an-id", HOSTILE])  # as a glob may find it
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert "unexpected extra argument (\\x1b]0;title" in printed
    assert all(line.isprintable() for line in printed.splitlines())


def test_a_value_with_several_lines_cannot_imitate_another_line_of_a_table() -> None:
    forged = "s3://b/out\nother-job  succeeded"
    assert table(("job", "output"), [("mine", forged)]).count("\n") == 1
    assert fields([("output", forged), ("phase", "failed")]).count("\n") == 1


def test_a_log_line_is_continued_with_an_indent() -> None:
    message = "first\n03:04:05  map/0#1       [executed]"
    shown = _line(LogLine(0.0, "1", "group", {"message": message, "stream": "user", "phase": "map", "task": 1}))
    first, second = shown.split("\n")
    assert second == " " * first.index("first") + message.partition("\n")[2]


def test_all_output_passes_through_one_place() -> None:
    package, ways = Path(s3mr.__file__).parent, ("click.echo", "click.secho", "sys.stdout.write", " print(")
    leaving = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in ways)
    }
    assert leaving - {"adapters/aws/overload.py"} == {"cli/streams.py"}  # prints only its own text
