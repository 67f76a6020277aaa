"""What was measured, as medians and ratios, as a table, and beside what is on record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.contenders import BARE_MOTO, LIMIT_FN, S3MR, Contender
from benchmarks.measuring import Measured
from benchmarks.workloads import Workload

SLACK: Final = 1.4  # other work on the machine, another machine: what is beyond this is worth a look
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
        """Return all of it in Markdown; ratios are to limit_fn, of W0 to a bare server."""
        rows = [
            f"| {workload}: {self._titles[workload]} | {contender} "
            f"| {median(one.wall_s for one in runs):.2f} | {median(one.cpu_s for one in runs):.2f} "
            f"| {self._ratio(workload, contender, 'wall_s'):.2f} | {self._ratio(workload, contender, 'cpu_s'):.2f} |\n"
            for workload, contenders in self._runs.items()
            for contender, runs in contenders.items()
        ]
        return HEAD + "".join(rows)

    def rows(self) -> list[dict[str, str | float]]:
        """Return all of it as data, for the documents."""
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
        """Print the ratios of s3mr beside those on record; return 1 if one is beyond the slack, else 0.

        Those of CPU: other work on the machine makes them longer, too, but not as much as those of time.
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
        """Return the median over the turns of a contender's time to that of the floor in the same turn."""
        contenders = self._runs[workload]
        floor = contenders.get(BARE_MOTO.name) or contenders[LIMIT_FN.name]
        pairs = zip(contenders[contender], floor, strict=True)
        return float(median(getattr(one, what) / getattr(other, what) for one, other in pairs))


def read_recorded(path: Path) -> dict[str, float]:
    """Return the ratios that a file holds: of s3mr's CPU, by workload."""
    ratios: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["cpu_ratios"]
    return ratios
