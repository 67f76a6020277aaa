"""Importing a user's module from a folder: the same way where the job is submitted and in a worker."""

import importlib
import importlib.util
import re
import sys
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Final

from s3mr.errors import RequestError

_under_way: Final[ContextVar[bool]] = ContextVar("s3mr_import_under_way", default=False)


def import_from(folder: Path, module: str) -> ModuleType:
    """Import ``module`` with ``folder`` first on the path.

    ``module`` is a dotted name, or the path of a file below ``folder`` (any name ending in ``.py``).

    Raises:
        RequestError: there is no such file. Whatever the module raises passes through.
    """
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    reset = _under_way.set(True)
    try:
        return _import_file(folder / module) if module.endswith(".py") else importlib.import_module(module)
    finally:
        _under_way.reset(reset)


def under_way() -> bool:
    """Whether a job's module is being imported right now; then no job may be run."""
    return _under_way.get()


def _import_file(path: Path) -> ModuleType:
    name = _module_name(path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise RequestError(f"there is no file {path}")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    return loaded


def _module_name(stem: str) -> str:
    """The name under which a job's file is imported: its stem where that is free, so that a sibling finds it.

    A file may be called like a module that is loaded already (``json.py``) or like no identifier (``word-count.py``).
    """
    if stem.isidentifier() and stem not in sys.stdlib_module_names and stem not in sys.modules:
        return stem
    return "s3mr_job_" + re.sub(r"\W", "_", stem)
