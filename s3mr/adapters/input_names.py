"""Decide which names below a folder or prefix are read, each once. The rules are the same for files and S3 keys."""

import re
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Final, NamedTuple

from s3mr.errors import RequestError
from s3mr.model.plan import InputObject
from s3mr.ports import Found

_MAGIC: Final = re.compile(r"[*?\[]")
_PARTS: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_HIDING: Final = ("_", ".")
_SHOWN_MAX: Final = 3  # archived objects named in an error


class Candidate(NamedTuple):
    """An object that an argument matches. ``found`` is None if it is skipped.

    ``identity`` is the same for two names of one object.
    """

    identity: str
    found: InputObject | None
    archived: bool = False  # it must be restored before it can be read


def collect(arguments: Sequence[str], expand: Callable[[str], Iterator[Candidate]]) -> Found:
    """Return the objects of all ``arguments``, in order, each once and under its first name.

    Raises:
        RequestError: there are no objects, or some are archived.
    """
    objects: dict[str, InputObject] = {}
    archived: dict[str, InputObject] = {}
    skipped: set[str] = set()
    for argument in arguments:
        for identity, found, is_archived in expand(argument):
            if found is None:
                skipped.add(identity)
            elif is_archived:
                archived.setdefault(identity, found)
            else:
                objects.setdefault(identity, found)
    if archived:
        raise RequestError(_archived([each.source for each in archived.values()]))
    skipped -= objects.keys()
    if not objects:
        searched = ", ".join(arguments) or "an empty list of inputs"
        raise RequestError(f"no input: nothing to read in {searched} ({len(skipped)} skipped)")
    return Found(objects=tuple(objects.values()), skipped=len(skipped))


def has_magic(pattern: str) -> bool:
    """Whether ``pattern`` contains ``*``, ``?`` or ``[``."""
    return _MAGIC.search(pattern) is not None


def literal_folder(pattern: str) -> str:
    """Return the path components before the first one with a glob character, with a slash at the end, or ``""``."""
    return pattern[: pattern.rfind("/", 0, _first_magic(pattern)) + 1]


def literal_start(pattern: str) -> str:
    """Return the part of ``pattern`` before its first glob character."""
    return pattern[: _first_magic(pattern)]


def is_hidden(below: str, *, asked: Container[str] = ()) -> bool:
    """Whether a component of the path ``below`` begins with ``_`` or ``.``, except those in ``asked``."""
    return any(name[:1] in _HIDING and name[:1] not in asked for name in below.split("/"))


def hidden_asked(pattern: str) -> frozenset[str]:
    """Return those of ``_`` and ``.`` that begin a component of ``pattern``, which therefore asks for such names."""
    return frozenset(name[:1] for name in pattern.split("/")) & frozenset(_HIDING)


def glob_regex(pattern: str) -> re.Pattern[str]:
    """Compile a glob pattern for keys: ``*`` and ``?`` do not match a slash, ``**`` does.

    As in a file system, a pattern that matches a folder also matches everything below it.

    Raises:
        RequestError: a range between brackets is inverted.
    """
    translated = "".join(map(_translate, _PARTS.findall(pattern)))
    below = ".*" if pattern.endswith("/") else "(?:/.*)?"
    try:
        return re.compile(f"(?s:{translated}{below})")
    except re.error as error:
        raise RequestError(f"not a pattern: {pattern} ({error})") from error


def _archived(sources: Sequence[str]) -> str:
    more = f" and {len(sources) - _SHOWN_MAX:,} more" if len(sources) > _SHOWN_MAX else ""
    return (
        f"{len(sources):,} of the inputs must be restored from the archive before they can be read: "
        f"{', '.join(sources[:_SHOWN_MAX])}{more}. Restore them (aws s3api restore-object) and wait until that is "
        "done, or leave them out of the inputs"
    )


def _first_magic(pattern: str) -> int:
    match = _MAGIC.search(pattern)
    return match.start() if match else len(pattern)


def _translate(glyph: str) -> str:
    if glyph == "**/":
        return "(?:.*/)?"
    if glyph == "**":
        return ".*"
    if glyph == "*":
        return "[^/]*"
    if glyph == "?":
        return "[^/]"
    if len(glyph) > 1:
        return _translate_class(glyph[1:-1])
    return re.escape(glyph)


def _translate_class(inside: str) -> str:
    negated = inside.startswith("!")
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside[negated:])
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
