"""Collect measurements, and show them as medians and ratios, in a table and compared with recorded ratios."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.contenders import BARE_MOTO, LIMIT_FN, S3MR, Contender
from benchmarks.measuring import Measured
from benchmarks.workloads import Workload

SLACK: Final = 1.4  # allows for another machine, and other load on it; a ratio beyond this needs a closer look
HEAD: Final = (
    "| workload | contender | wall, s | CPU, s | wall, ratio | CPU, ratio |\n"
    "| --- | --- | ---: | ---: | ---: | ---: |\n"
)


@dataclass(slots=True)
class Results:
    """Runs by workload and contender, in the order of their turns."""

    _titles: dict[str, str] = field(default_factory=dict)
    _runs: dict[str, dict[str, list[Measured]]] = field(default_factory=dict)

    def add(self, workload: Workload, contender: Contender, measured: Measured) -> None:
        self._titles[workload.name] = workload.title
        self._runs.setdefault(workload.name, {}).setdefault(contender.name, []).append(measured)

    def table(self) -> str:
        """Return a Markdown table. Ratios are relative to limit_fn; those of W0 to a bare server."""
        rows = [
            f"| {workload}: {self._titles[workload]} | {contender} "
            f"| {median(one.wall_s for one in runs):.2f} | {median(one.cpu_s for one in runs):.2f} "
            f"| {self._ratio(workload, contender, 'wall_s'):.2f} | {self._ratio(workload, contender, 'cpu_s'):.2f} |\n"
            for workload, contenders in self._runs.items()
            for contender, runs in contenders.items()
        ]
        return HEAD + "".join(rows)

    def rows(self) -> list[dict[str, str | float]]:
        """Return the table as data, for the documents."""
        return [
            {
                "workload": workload,
                "contender": contender,
                "wall_s": round(median(one.wall_s for one in runs), 2),
                "cpu_s": round(median(one.cpu_s for one in runs), 2),
                "wall_ratio": round(self._ratio(workload, contender, "wall_s"), 2),
                "cpu_ratio": round(self._ratio(workload, contender, "cpu_s"), 2),
            }
            for workload, contenders in self._runs.items()
            for contender, runs in contenders.items()
        ]

    def compare(self, recorded: Mapping[str, float]) -> int:
        """Print the ratios of s3mr beside the recorded ones. Return 1 if one is beyond the slack, else 0.

        It compares CPU time, because other load on the machine changes it less than wall time.
        """
        status = 0
        for workload in self._runs:
            ratio, before = self._ratio(workload, S3MR.name, "cpu_s"), recorded.get(workload)
            if before is None:
                print(f"{workload}: CPU {ratio:.2f}, none on record")
                continue
            beyond = ratio > before * SLACK
            status |= beyond
            print(f"{workload}: CPU {ratio:.2f}, on record {before:.2f}{', beyond the slack' if beyond else ''}")
        return status

    def _ratio(self, workload: str, contender: str, what: str) -> float:
        """Return a contender's time divided by that of the floor in the same turn, as the median over all turns."""
        contenders = self._runs[workload]
        floor = contenders.get(BARE_MOTO.name) or contenders[LIMIT_FN.name]
        pairs = zip(contenders[contender], floor, strict=True)
        return float(median(getattr(one, what) / getattr(other, what) for one, other in pairs))


def read_recorded(path: Path) -> dict[str, float]:
    """Return the recorded ratios of s3mr's CPU time, by workload."""
    ratios: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["cpu_ratios"]
    return ratios
