"""How long a function's process takes to import its handler, from the built package alone: our part of a cold start.

    sam build --parameter-overrides Architecture=x86_64
    python benchmarks/cold_start.py .aws-sam/build

Prints the median of several fresh processes, in milliseconds, for each handler and for the workers' template, and for
comparison that of boto3 alone. "The first time", nothing is compiled yet, as in a fresh
environment. A package of the machine's own architecture and Python is needed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTS = {
    "boto3 alone": ("TickFunction", "boto3"),
    "tick": ("TickFunction", "tick"),
    "record": ("RecordFunction", "record"),
    "map_task, without its template": ("MapFunction", "telemetry, s3mr.processes.function_host"),
    "the workers' template": ("MapFunction", "s3mr.processes.worker_process, s3mr.processes.chaos, s3mr.wiring"),
}
TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_METRICS_NAMESPACE": "s3mr",
    "POWERTOOLS_SERVICE_NAME": "s3mr",
    "S3MR_BUCKET": "bucket",
    "S3MR_TABLE": "table",
    "S3MR_REPORT_KEY": "key",
    "S3MR_WORKERS_MAX": "1",
}


def import_s(package: Path, modules: str, compiled: Path) -> float:
    """Import ``modules`` in a fresh process that sees nothing but the package; return the seconds that it takes."""
    ended = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-s", "-S", "-c", TIMED.format(modules)],
        cwd=package,
        env={
            **ENVIRONMENT,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(package),
            "PYTHONPYCACHEPREFIX": str(compiled),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return float(ended.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="the folder that `sam build` has filled")
    parser.add_argument("--runs", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, (function, modules) in IMPORTS.items():
            package = (asked.build / function).absolute()
            cold_s = import_s(package, modules, Path(folder) / function)  # compiles, as a fresh environment does
            warm_s = [import_s(package, modules, Path(folder) / function) for _ in range(asked.runs)]
            size_mb = sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) / 1e6
            print(
                f"{name:<30}{statistics.median(warm_s) * 1000:6.0f} ms, the first time {cold_s * 1000:6.0f} ms"
                f"   (package {size_mb:.0f} MB)"
            )


if __name__ == "__main__":
    main()
