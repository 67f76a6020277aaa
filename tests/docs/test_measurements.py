"""The documents show the figures that the benchmarks wrote."""

import json
from pathlib import Path

from benchmarks.contenders import LIMIT_FN, S3MR
from benchmarks.measuring import Measured
from benchmarks.publishing import PUBLISHED, publish
from benchmarks.results import Results
from benchmarks.workloads import WORKLOADS
from docs.generate import measured


def test_the_benchmarks_publish_the_fields_that_the_documents_show(tmp_path: Path) -> None:
    results = Results()
    workload = next(one for one in WORKLOADS if one.name == "W1")
    for wall_s in (2.0, 9.0, 4.0):
        results.add(workload, LIMIT_FN, Measured(wall_s=wall_s, cpu_s=1.0))
        results.add(workload, S3MR, Measured(wall_s=wall_s * 1.5, cpu_s=3.0))
    path = publish("timing", results.rows(), folder=tmp_path, machine="a machine", runs=3)
    written = json.loads(path.read_text(encoding="utf-8"))
    shown = json.loads((PUBLISHED / "timing.json").read_text(encoding="utf-8"))
    assert (written["machine"], written["runs"], len(written["measured"])) == ("a machine", 3, len("2026-01-02"))
    assert written["rows"][1] == {
        "workload": "W1",
        "contender": "s3mr",
        "wall_s": 6.0,
        "cpu_s": 3.0,
        "wall_ratio": 1.5,
        "cpu_ratio": 3.0,
    }
    assert written["rows"][0].keys() == shown["rows"][0].keys()
    assert written.keys() <= shown.keys()


def test_the_table_of_workloads_shows_the_published_figures() -> None:
    rows = json.loads((PUBLISHED / "timing.json").read_text(encoding="utf-8"))["rows"]
    table = measured.timing().splitlines()
    assert len(table) == len(rows) + 4  # a header, a rule, an empty line, the conditions
    for row, line in zip(rows, table[2:], strict=False):
        assert f"| {row['contender']} | {row['wall_s']:.2f} | {row['cpu_s']:.2f} |" in line


def test_the_comparison_shows_the_fastest_run_of_each_peer() -> None:
    spark = next(line for line in measured.comparison().splitlines() if "Spark" in line)
    rows = json.loads((PUBLISHED / "peers.json").read_text(encoding="utf-8"))["rows"]
    best = min(row["wall_s"] for row in rows if "Spark" in row["contender"] and row["workload"] == "W1")
    assert f"{best:.1f} s (s3mr " in spark
