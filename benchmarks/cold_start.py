"""Measure how long a process imports a function's handler from the built package: s3mr's part of a cold start.

    sam build --parameter-overrides Architecture=x86_64
    python benchmarks/cold_start.py .aws-sam/build

It prints the median of several fresh processes, in milliseconds, for each handler, for the workers' template, and for
boto3 alone as a comparison. "The first time" means that nothing is compiled yet, as in a fresh environment. Build the
package for this machine's architecture and Python.
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
    """Import ``modules`` in a fresh process that sees only the package. Return the seconds that the import takes."""
    ended = subprocess.run(  # noqa: S603 - this interpreter
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
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="the output folder of `sam build`")
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
