"""Run the workloads on other engines, each written as its own documentation recommends.

They have a separate environment, ``build/benchmarks/peers`` (``make bench-peers``), because they need other versions
than s3mr. Engines that are not installed there are skipped, and so is Spark without Java.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.contenders import ROOT, Command, Contender
from benchmarks.workloads import BUILD, Workload

PYTHON: Final = BUILD / "peers" / "bin" / "python"
PACKAGES: Final = {"lithops": "lithops", "mrjob": "mrjob", "dask": "dask.bag", "spark": "pyspark"}
NAMES: Final = tuple(PACKAGES)
_ENVIRONMENT: Final = (
    ("PYTHONPATH", os.fspath(ROOT)),
    ("PATH", f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"),  # Lithops starts `python`
)
_RUNS: Final = ("W0", "W1", "W2", "W3", "W4")


def found(name: str) -> Iterator[Contender]:
    """Yield the contenders of one peer, one for each way to run it. Yield nothing if it is not installed."""
    if not _installed(PACKAGES[name]) or (name == "spark" and shutil.which("java") is None):
        return
    if name == "mrjob":
        yield Contender("mrjob local", _mrjob, runs=_RUNS, ours=False, environment=_ENVIRONMENT)
    elif name == "dask":
        yield Contender("dask.bag", _module("on_dask"), runs=_RUNS, ours=False, environment=_ENVIRONMENT)
    elif name == "spark":
        for way in ("rdd", "dataframe"):
            command = _module("on_spark", way)
            yield Contender(f"PySpark {way}", command, runs=_RUNS, ours=False, environment=_ENVIRONMENT)
    elif name == "lithops":
        for way in ("local", "moto"):
            command = _module("on_lithops", way)
            yield Contender(f"Lithops {way}", command, runs=_RUNS, ours=False, environment=_ENVIRONMENT)


def versions(names: Iterable[str]) -> str:
    """Return the versions of the installed peers, to append to those of s3mr, or an empty text."""
    packages = [PACKAGES[name].partition(".")[0] for name in names if _installed(PACKAGES[name])]
    if not packages:
        return ""
    said = "import sys, importlib.metadata as m; print(*(f'{one} {m.version(one)}' for one in sys.argv[1:]), sep=', ')"
    asked = [str(PYTHON), "-c", said, *packages]
    return f"; {subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()}"  # noqa: S603 - the interpreter of the peers


def _installed(module: str) -> bool:
    if not PYTHON.exists():
        return False
    return subprocess.run([PYTHON, "-c", f"import {module}"], check=False, stderr=subprocess.DEVNULL).returncode == 0  # noqa: S603 - the interpreter of the peers


def _module(name: str, *arguments: str) -> Command:
    def command(workload: Workload, folder: Path, output: Path) -> list[str]:
        files = sorted(map(str, folder.iterdir()))
        return [str(PYTHON), "-m", f"benchmarks.peers.{name}", *arguments, workload.job, str(output), *files]

    return command


def _mrjob(workload: Workload, folder: Path, output: Path) -> list[str]:
    script = Path(__file__).with_name("peers") / "mrjobs" / f"{workload.job}.py"
    files = sorted(map(str, folder.iterdir()))
    return [str(PYTHON), str(script), "-r", "local", "--output-dir", str(output), "--no-cat-output", *files]
