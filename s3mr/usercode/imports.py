"""Import a user's module from a folder, in the same way at submission and in a worker.

Loaded modules stay: a module of s3mr, or of a package that s3mr uses (boto3, pydantic and others), is never replaced
by a module of the same name in the user's folder or in the job's requirements.
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
from s3mr.usercode.interpreter_state import InterpreterState, replaced_message

PACKAGES: Final = "_requirements"  # the folder of a bundle that contains the job's requirements

_importing: Final[ContextVar[bool]] = ContextVar("s3mr_importing", default=False)


def import_from(folder: Path, module: str) -> ModuleType:
    """Import ``module`` with ``folder`` first on the path, followed by its requirements.

    ``module`` is a dotted name, or the path of a file below ``folder`` (any name ending in ``.py``). An exception from
    the module passes through.

    Raises:
        RequestError: there is no such file, or the module has replaced builtins.
    """
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    packages = folder / PACKAGES
    if packages.is_dir() and str(packages) not in sys.path:
        sys.path.insert(sys.path.index(str(folder)) + 1, str(packages))
    importlib.invalidate_caches()
    untouched = InterpreterState()
    reset = _importing.set(True)
    try:
        imported = _import_file(folder / module) if module.endswith(".py") else importlib.import_module(module)
    finally:
        _importing.reset(reset)
        replaced = untouched.restore()
    if replaced:
        raise RequestError(replaced_message(replaced))
    return imported


def forget(folder: Path, *, keep_packages: bool) -> None:
    """Unload the modules imported from ``folder``, so that they can be imported again. References stay valid.

    With ``keep_packages``, requirements stay loaded: many compiled packages cannot be imported twice.
    """
    packages = folder / PACKAGES
    for name, module in list(sys.modules.items()):
        place = _place(module)
        if place and place.is_relative_to(folder) and not (keep_packages and place.is_relative_to(packages)):
            del sys.modules[name]
    if not keep_packages:
        sys.path[:] = [path for path in sys.path if path not in (str(folder), str(packages))]


def is_importing() -> bool:
    """Whether a job's module is being imported right now. A job must not be run then."""
    return _importing.get()


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
    """Return a module's file or folder. It reads `__dict__`: some modules compute attributes when they are accessed."""
    known = getattr(module, "__dict__", {})
    file, path = known.get("__file__"), known.get("__path__")
    if not isinstance(file, str) and path is not None:  # a package without __init__
        file = next(iter(path), None)
    return Path(file) if isinstance(file, str) else None


def _module_name(stem: str) -> str:
    """Return the name under which a job's file is imported: its stem if that is free, so that siblings can import it.

    The stem may also be the name of a loaded module (``json.py``), or not an identifier (``word-count.py``).
    """
    if stem.isidentifier() and stem not in sys.stdlib_module_names and stem not in sys.modules:
        return stem
    return "s3mr_job_" + re.sub(r"\W", "_", stem)
