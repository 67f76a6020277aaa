"""Importing a user's module from a folder: the same way where the job is submitted and in a worker.

What is loaded already stays: a module of s3mr, or of a package that s3mr uses (boto3, pydantic and others), is never
replaced by one of the same name in the user's folder or among the job's requirements.
"""

import importlib
import importlib.util
import re
import sys
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Final

from s3mr.errors import RequestError
from s3mr.usercode.interpreter_state import InterpreterState, complaint

PACKAGES: Final = "_requirements"  # the folder in a bundle below which the job's requirements lie

_under_way: Final[ContextVar[bool]] = ContextVar("s3mr_import_under_way", default=False)


def import_from(folder: Path, module: str) -> ModuleType:
    """Import ``module`` with ``folder`` first on the path, and the packages that lie in it right after.

    ``module`` is a dotted name, or the path of a file below ``folder`` (any name ending in ``.py``).

    Raises:
        RequestError: there is no such file, or the module has replaced builtins. Whatever it raises passes through.
    """
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    packages = folder / PACKAGES
    if packages.is_dir() and str(packages) not in sys.path:
        sys.path.insert(sys.path.index(str(folder)) + 1, str(packages))
    importlib.invalidate_caches()
    untouched = InterpreterState()
    reset = _under_way.set(True)
    try:
        imported = _import_file(folder / module) if module.endswith(".py") else importlib.import_module(module)
    finally:
        _under_way.reset(reset)
        replaced = untouched.put_back()
    if replaced:
        raise RequestError(complaint(replaced))
    return imported


def forget(folder: Path, *, keep_packages: bool) -> None:
    """Make this process import anew what it has imported from ``folder``; what refers to it goes on working.

    ``keep_packages``: the requirements stay loaded; many a compiled package cannot be imported twice.
    """
    packages = folder / PACKAGES
    for name, module in list(sys.modules.items()):
        place = _place(module)
        if place and place.is_relative_to(folder) and not (keep_packages and place.is_relative_to(packages)):
            del sys.modules[name]
    if not keep_packages:
        sys.path[:] = [path for path in sys.path if path not in (str(folder), str(packages))]


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


def _place(module: object) -> Path | None:
    """Where a module lies; asked of its dictionary, because attributes of some are made when they are asked for."""
    known = getattr(module, "__dict__", {})
    file, path = known.get("__file__"), known.get("__path__")
    if not isinstance(file, str) and path is not None:  # a package without __init__
        file = next(iter(path), None)
    return Path(file) if isinstance(file, str) else None


def _module_name(stem: str) -> str:
    """The name under which a job's file is imported: its stem where that is free, so that a sibling finds it.

    A file may be called like a module that is loaded already (``json.py``) or like no identifier (``word-count.py``).
    """
    if stem.isidentifier() and stem not in sys.stdlib_module_names and stem not in sys.modules:
        return stem
    return "s3mr_job_" + re.sub(r"\W", "_", stem)
