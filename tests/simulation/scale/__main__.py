"""``python -m tests.simulation.scale``: run large jobs in virtual time; print their cost as a Markdown table.

Exit 1 if a limit of AWS was exceeded, a job did not succeed, or something was left over. `docs/scale.md` explains what
is measured.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

from s3mr import limits
from s3mr.model.job import Phase
from tests.simulation.scale.meter import BOUNDS
from tests.simulation.scale.workers import Shape
from tests.simulation.scale.world import Measures, ScaleWorld

NEVER: Final = 2**31

Row = tuple[str, Callable[[Measures], str]]


def measure(shape: Shape, *, backups: bool = True) -> Measures:
    """Run a job whose M × R may exceed what submit accepts. Without ``backups``, no phase has enough tasks for any."""
    lifted: dict[str, Any] = {"PIECES_MAX": NEVER} if backups else {"PIECES_MAX": NEVER, "BACKUP_TASKS_MIN": NEVER}
    with patch.multiple(limits, **lifted):
        return ScaleWorld(shape).run()


def failings(run: Measures) -> list[str]:
    """Return the failed expectations."""
    failed = [] if run.job.phase is Phase.SUCCEEDED else [f"the job ended ({run.job.phase}): {run.job.failure}"]
    return failed + run.meter.exceeded() + [f"left over: {name}" for name in run.left_over[:3]]


def _requests(run: Measures, who: str, service: str = "dynamodb") -> int:
    return run.meter.requests[f"{who} {service}"]


def _peak(kind: str) -> Callable[[Measures], str]:
    return lambda run: f"{run.samples[kind].peak_bytes / limits.MIB:,.1f} MiB"


def _ticks(run: Measures) -> int:
    return sum(run.samples[kind].calls for kind in ("tick", "barrier", "commit"))


ROWS: Final[tuple[Row, ...]] = (
    ("CPU of tick, a task", lambda run: f"{_tick_s(run) / run.shape.tasks * 1e6:,.0f} µs"),
    ("CPU of record, a report", lambda run: f"{run.samples['record'].each_s * 1e6:,.0f} µs"),
    ("CPU of submit, a map task", lambda run: f"{run.samples['submit'].each_s / run.shape.map_tasks * 1e6:,.0f} µs"),
    ("CPU of the barrier, a piece", lambda run: f"{run.samples['barrier'].each_s / _pieces(run) * 1e6:.2f} µs"),
    ("CPU of the barrier, in all", lambda run: f"{run.samples['barrier'].each_s:,.1f} s"),
    ("CPU of one tick", lambda run: f"{run.samples['tick'].each_s * 1e3:,.1f} ms"),
    ("memory of a tick, peak", _peak("tick")),
    ("memory of a report, peak", _peak("record")),
    ("memory of the barrier, peak", _peak("barrier")),
    ("memory of commit and sweep, peak", _peak("commit")),
    ("requests of record to DynamoDB, a report", lambda run: f"{_requests(run, 'record') / _reports(run):.2f}"),
    ("requests of tick to DynamoDB, a task", lambda run: f"{_requests(run, 'tick') / run.shape.tasks:.2f}"),
    ("requests of tick to DynamoDB, a tick", lambda run: f"{_requests(run, 'tick') / _ticks(run):.1f}"),
    ("requests of tick to S3, in all", lambda run: f"{_requests(run, 'tick', 's3'):,}"),
    ("ticks, rounds, executions", lambda run: f"{_ticks(run):,}, {run.rounds:,}, {run.executions:,}"),
    ("attempts that ran at once", lambda run: f"{run.running_max:,}"),
    ("backup attempts begun", lambda run: f"{run.backups:,}"),
    ("duplicates ignored", lambda run: f"{run.verdicts['ignored']:,}"),
)


def _tick_s(run: Measures) -> float:
    return run.samples["tick"].each_s * run.samples["tick"].calls


def _pieces(run: Measures) -> int:
    return run.shape.map_tasks * run.shape.reducers


def _reports(run: Measures) -> int:
    return run.samples["record"].calls


def table(runs: list[tuple[Measures, Measures]]) -> str:
    """Return the table: a column for each pair of runs, with backup attempts and without."""
    columns = [[f"{first.shape.map_tasks:,} × {first.shape.reducers:,}" for first, _ in runs]]
    names = [f"map tasks × reducers, {runs[0][0].shape.concurrent:,} at once"]
    for name, show in ROWS:
        names.append(name)
        columns.append([show(first) for first, _ in runs])
    for what, bound in BOUNDS.items():
        names.append(f"largest {what} (at most {bound:,})")
        columns.append([f"{max(one.meter.largest[what] for one in pair):,.0f}" for pair in runs])
    names += ["makespan with backup attempts", "makespan without", "longer without"]
    columns += [[f"{one[number].makespan_s:,.0f} s" for one in runs] for number in (0, 1)]
    columns.append([f"{without.makespan_s / first.makespan_s - 1:.0%}" for first, without in runs])
    lines = [f"| {name} | {' | '.join(cells)} |" for name, cells in zip(names, columns, strict=True)]
    return "\n".join([lines[0], f"| --- |{' ---: |' * len(runs)}", *lines[1:]])


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.scale", description=__doc__)
    parser.add_argument("--tasks", default="1000,10000,100000", help="map tasks of each job, separated by commas")
    parser.add_argument("--reducers", type=int, default=1_000)
    parser.add_argument("--concurrent", type=int, default=1_000, help="attempts at once")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn")
    asked = parser.parse_args()
    runs, failed = [], []
    for map_tasks in map(int, asked.tasks.split(",")):
        shape = Shape(map_tasks, asked.reducers, asked.concurrent, asked.seed)
        pair = measure(shape), measure(shape, backups=False)
        runs.append(pair)
        failed += [f"{map_tasks:,} map tasks: {what}" for run in pair for what in failings(run)]
    print(table(runs))
    for what in failed:
        print(what, file=sys.stderr)
    return min(1, len(failed))


if __name__ == "__main__":
    sys.exit(main())
