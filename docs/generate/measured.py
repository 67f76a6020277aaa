"""Tables of what was measured, from the files below ``benchmarks/published``."""

import json
from itertools import groupby
from typing import Any, Final

from benchmarks.publishing import PUBLISHED
from docs.generate.tables import table

_S3MR: Final = "s3mr"


def timing() -> str:
    """Return the table of workloads: seconds, and ratios to the floor."""
    measured = _read("timing")
    before = {(one["workload"], one["contender"]): one for one in _read("history")["rows"]}
    rows = []
    for workload, runs in groupby(measured["rows"], key=lambda one: str(one["workload"])):
        for number, one in enumerate(runs):
            known = before.get((workload, one["contender"]), {})
            figures = [f"{one[name]:.2f}" for name in ("wall_s", "cpu_s", "wall_ratio", "cpu_ratio")]
            first = "" if number else workload
            rows.append([first, one["contender"], *figures, known.get("seen", ""), known.get("first", "")])
    head = ["", "", "wall, s", "CPU, s", "wall, ratio", "CPU, ratio", "wall ratio, all runs", "first measured"]
    return f"{table(head, rows, right=2)}\n\n{_conditions(measured)}"


def peers() -> str:
    """Return wall seconds, a row a contender, a column a workload."""
    measured = _read("peers")
    workloads = list(dict.fromkeys(one["workload"] for one in measured["rows"]))
    contenders = list(dict.fromkeys(one["contender"] for one in measured["rows"]))
    rows = [[name, *(_seconds(measured, name, workload) for workload in workloads)] for name in contenders]
    return f"{table(['wall, s', *workloads], rows, right=1)}\n\n{_conditions(measured)}"


def comparison() -> str:
    """Return three rows: what to use instead, and how long it takes beside s3mr."""
    measured = _read("peers")
    rows = [
        (
            f"**{name}**",
            *(
                f"{_best(measured, name, one)} s (s3mr {_seconds(measured, _S3MR, one)} s)"
                for one in ("W1", "W2", "W3")
            ),
            why,
        )
        for name, why in (
            ("Spark", "Spark has SQL and joins. It runs on a cluster that you start, pay for and stop."),
            ("Lithops", "Lithops calls functions and has no shuffle. You group, sort and combine by hand."),
            ("mrjob", "mrjob needs Hadoop or EMR to run on more than one machine."),
        )
    ]
    head = ["", "word count, 256 MiB", "totals of 1 M log lines", "sort of 2 M records", "difference"]
    return f"{table(head, rows)}\n\n{_conditions(measured)}"


def memory() -> str:
    """Return the peak of the largest worker in each case, and what it may take."""
    rows = [
        [one["title"], *(f"{one[name]} MiB" for name in ("memory_mib", "allowed_mib", "largest_mib"))]
        for one in _read("memory")["rows"]
    ]
    return table(["case", "`--memory`", "allowed", "largest worker"], rows, right=1)


def plain(name: str) -> str:
    """Return a table as its file has it: a profile, or the start."""
    measured = _read(name)
    return table(measured["columns"], measured["rows"], right=measured["right"])


def printed(name: str) -> str:
    """Return a table as ``make scale`` has printed it."""
    return (PUBLISHED / f"{name}.md").read_text(encoding="utf-8")


def _read(name: str) -> dict[str, Any]:
    measured: dict[str, Any] = json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf-8"))
    return measured


def _conditions(measured: dict[str, Any]) -> str:
    runs = "one run" if measured["runs"] == 1 else f"medians of {measured['runs']} runs"
    return f"Measured on {measured['measured']}, {runs}: {measured['machine']}; {measured['versions']}."


def _seconds(measured: dict[str, Any], contender: str, workload: str) -> str:
    found = [one["wall_s"] for one in measured["rows"] if (one["contender"], one["workload"]) == (contender, workload)]
    return f"{found[0]:.1f}" if found else ""


def _best(measured: dict[str, Any], name: str, workload: str) -> str:
    """Return the fewest seconds of the ways to use a peer."""
    taken = [one["wall_s"] for one in measured["rows"] if name in one["contender"] and one["workload"] == workload]
    return f"{min(taken):.1f}"
