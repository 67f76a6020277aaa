"""The lines that a child process prints, as its parent shows them."""

import os
from queue import Queue

from s3mr import limits
from s3mr.processes.printed_lines import PrintedLines


def shown(*written: bytes) -> list[str]:
    """Return what is shown of these writes; each is shown before the next one."""
    lines: list[str] = []
    printed = PrintedLines(lines.append)
    sent = ""
    for block in written:
        for start in range(0, len(block), 4096):  # a pipe has a limited capacity
            os.write(printed.descriptor, block[start : start + 4096])
        printed.catch_up()
        sent += block.decode()
        assert "".join(lines) == sent.replace("\n", "")
    printed.close()
    return lines


def test_lines_are_shown_unchanged_except_empty_ones() -> None:
    assert shown("one é\n\ntwo\n".encode(), b"three") == ["one é", "two", "three"]


def test_a_line_of_any_length_is_shown_in_pieces_and_the_next_line_is_not_lost() -> None:
    most = limits.PRINTED_LINE_MAX
    lines = shown(b"x" * (50 * most + 1), b"\nshort\n", b"y" * most, b"\n", b"z" * most + b"\nlast\n")
    assert max(map(len, lines)) == most
    assert lines[:50] == ["x" * most] * 50
    assert lines[50:] == ["x", "short", "y" * most, "z" * most, "last"]


def test_a_full_piece_is_shown_before_its_line_ends() -> None:
    pieces: Queue[str] = Queue()
    printed = PrintedLines(pieces.put)
    for _ in range(3):
        for _ in range(limits.PRINTED_LINE_MAX // 4096):
            os.write(printed.descriptor, b"x" * 4096)
        assert pieces.get(timeout=10) == "x" * limits.PRINTED_LINE_MAX
    printed.close()
    assert pieces.empty()
