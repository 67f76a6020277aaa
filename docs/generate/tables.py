"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: int | None = None) -> str:
    """Return a table; the columns from ``right`` on hold figures and are aligned to the right."""
    first_right = len(head) if right is None else right
    rule = ["---" if column < first_right else "---:" for column in range(len(head))]
    return "\n".join(map(_row, [head, rule, *rows]))


def escaped(text: str) -> str:
    """Return ``text`` as it may stand in a cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
