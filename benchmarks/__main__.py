"""Run the workloads, and print a table of the time that each contender takes.

    make bench                          all workloads, at full size
    make bench SCALE=0.1 RUNS=1         smaller and faster
    make bench-quick                    small; exits with 1 if a ratio is far above the recorded one
    python -m benchmarks --workloads W1,W3 --peers dask
    python -m benchmarks --publish timing   write the figures of docs/performance.md (then: make docs)

Contenders take turns, so other load on the machine affects all of them. A ratio is the median of the ratios within a
turn. Each output is compared with that of a plain loop. The table goes to standard output and to
``build/benchmarks/table.md``.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import others
from benchmarks.contenders import OURS, Contender
from benchmarks.machine import machine, versions
from benchmarks.measuring import measure
from benchmarks.publishing import publish
from benchmarks.results import Results, read_recorded
from benchmarks.workloads import BUILD, WORKLOADS, Workload

PACKAGES: Final = ("s3mr", "boto3", "moto", "msgpack", "zstandard", "xxhash")
QUICK_SCALE: Final = 0.1
QUICK_RUNS: Final = 2
QUICK_WORKLOADS: Final = ("W0", "W1", "W2", "W3")  # not W4: its floor depends on the file system, and varies by 50%
RECORDED: Final = Path(__file__).with_name("recorded.json")


def main() -> int:
    """Measure as the arguments say, and return the exit status."""
    asked = _arguments()
    workloads = [one for one in WORKLOADS if one.name in asked.workloads]
    contenders = [*OURS, *(one for name in asked.peers for one in others.found(name))]
    header = f"{machine()}\n{versions(PACKAGES)}\nscale {asked.scale:g}, runs {asked.runs}"
    print(header, flush=True)
    results = Results()
    for workload in workloads:
        _compete(workload, [one for one in contenders if one.takes_part(workload)], asked, results)
    table = results.table()
    print(f"\n{table}")
    BUILD.joinpath("table.md").write_text(f"{header}\n\n{table}", encoding="utf-8")
    if asked.publish:
        installed = versions(PACKAGES) + others.versions(asked.peers)
        conditions = {"machine": machine(), "versions": installed, "scale": asked.scale, "runs": asked.runs}
        print(f"published: {publish(asked.publish, results.rows(), **conditions)}")
    return results.compare(read_recorded(RECORDED)) if asked.quick else 0


def _compete(workload: Workload, contenders: Sequence[Contender], asked: argparse.Namespace, results: Results) -> None:
    folder = workload.folder(asked.scale)
    output = BUILD / "output"
    for turn in range(asked.runs):
        for contender in contenders:
            shutil.rmtree(output, ignore_errors=True)
            measured = measure(
                contender.command(workload, folder, output), environment=dict(contender.environment), cwd=BUILD
            )
            results.add(workload, contender, measured)
            print(f"{workload.name} {contender.name}: {json.dumps(measured.rounded())}", file=sys.stderr, flush=True)
            if contender.checked and turn == 0:
                workload.check(output, asked.scale, strictly=contender.ours)
    shutil.rmtree(output, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [one.name for one in WORKLOADS]
    parser.add_argument("--scale", type=float, default=1.0, help="scale of the inputs")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contender")
    parser.add_argument("--workloads", type=_names, default=names, help=f"some of {','.join(names)}")
    parser.add_argument("--peers", type=_names, default=[], help=f"some of {','.join(others.NAMES)}")
    parser.add_argument("--publish", choices=("timing", "peers"), help="also write the file that the documents show")
    parser.add_argument("--quick", action="store_true", help=f"scale {QUICK_SCALE}, compare with {RECORDED.name}")
    asked = parser.parse_args()
    if asked.quick:
        asked.scale, asked.runs, asked.workloads = QUICK_SCALE, QUICK_RUNS, QUICK_WORKLOADS
    return asked


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
