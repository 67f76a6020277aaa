"""Nothing of other people's steers a terminal: text leaves the command in one place, which makes it harmless."""

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


def test_text_is_printed_with_all_that_could_steer_a_terminal_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"café\t{HOSTILE}\nnext")
    say(HOSTILE, err=True)
    seen = capsys.readouterr()
    assert seen.out == ("café\t\\x1b]0;title\\x07\\x1b[2Jred\\r\\x9b31m\\u202etxt\\u200e\\x00\\x7f\nnext\n")
    assert seen.err.isascii()
    assert seen.err.strip("\n").isprintable()


def test_json_is_printed_with_the_same_escaped_and_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    say_json(json.dumps({"output": HOSTILE, HOSTILE: "é"}, ensure_ascii=False))
    line = capsys.readouterr().out
    assert json.loads(line) == {"output": HOSTILE, HOSTILE: "é"}
    assert line.strip("\n").isprintable()


@pytest.mark.parametrize(
    "character", [*map(chr, range(32)), *map(chr, range(127, 160)), *"\u061c\u200e\u200f\u202a\u2066\u2069"]
)
def test_no_control_or_direction_character_but_newline_and_tab_passes(character: str) -> None:
    assert (harmless(character) == character) == (character in "\n\t")
    assert json.loads(f'"{harmless_json(character)}"', strict=False) == character


def test_a_wrong_command_line_is_shown_without_what_could_steer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["s3mr", "status", "an-id", HOSTILE])  # as a glob may find it
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "unexpected extra argument (\\x1b]0;title" in said
    assert all(line.isprintable() for line in said.splitlines())


def test_a_value_of_several_lines_looks_like_no_other_line_of_a_table() -> None:
    forged = "s3://b/out\nother-job  succeeded"
    assert table(("job", "output"), [("mine", forged)]).count("\n") == 1
    assert fields([("output", forged), ("phase", "failed")]).count("\n") == 1


def test_a_log_line_goes_on_below_itself() -> None:
    message = "first\n03:04:05  map/0#1       [executed]"
    shown = _line(LogLine(0.0, "1", "group", {"message": message, "stream": "user", "phase": "map", "task": 1}))
    first, second = shown.split("\n")
    assert second == " " * first.index("first") + message.partition("\n")[2]


def test_text_leaves_the_command_in_one_place_alone() -> None:
    package, ways = Path(s3mr.__file__).parent, ("click.echo", "click.secho", "sys.stdout.write", " print(")
    leaving = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in ways)
    }
    assert leaving - {"adapters/aws/overload.py"} == {"cli/streams.py"}  # which says nothing but its own words
