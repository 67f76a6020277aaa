"""Find the job that ``JOB`` names: ``FILE.py``, ``FILE.py:NAME`` or ``package.module:NAME``."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from s3mr.api import Job
from s3mr.errors import RequestError, S3mrError
from s3mr.usercode.imports import import_from
from s3mr.usercode.location import Code, code_in
from s3mr.usercode.parameters import combined, set_parameters
from s3mr.usercode.tracebacks import users_traceback


def find_job(target: str, params: Mapping[str, str]) -> tuple[Job, Code]:
    """Import the module that ``target`` names, and return its job and the location of its code.

    Raises:
        RequestError: the file, module or job does not exist, the module has several jobs and ``target`` names none of
            them, or the import fails.
    """
    place, colon, name = target.rpartition(":")
    if not colon:
        place, name = target, ""
    set_parameters(params)
    path = Path(place)
    if place.endswith(".py"):
        if not path.is_file():
            raise RequestError(f"job file {place} does not exist")
        root = path.absolute().parent
        module = _import(root, path.name, place)
        code = Code(root, path.name, "")
    elif name:
        module = _import(Path.cwd(), place, place)
        code = code_in(module, "")
    else:
        hint = f": did you mean {place}.py?" if Path(f"{place}.py").is_file() else ""
        raise RequestError(f"JOB must be FILE.py, FILE.py:NAME or package.module:NAME, not {target!r}{hint}")
    job, name = _pick(module, name, place)
    set_parameters(combined(job.params, params))
    return job, Code(code.root, code.module, name)


def _pick(module: ModuleType, name: str, place: str) -> tuple[Job, str]:
    jobs = {name: value for name, value in vars(module).items() if isinstance(value, Job)}
    if name:
        if name not in jobs:
            raise RequestError(f"{place} has no Job named {name!r}{_named(jobs)}")
        return jobs[name], name
    distinct = {id(job): name for name, job in reversed(jobs.items())}
    if not distinct:
        raise RequestError(f"{place} has no Job: assign one to a name, as in: wordcount = Job(map=words, reduce=total)")
    if len(distinct) > 1:
        raise RequestError(f"{place} has several jobs: name one, as in {place}:{next(iter(jobs))}{_named(jobs)}")
    name = next(iter(distinct.values()))
    return jobs[name], name


def _named(jobs: Mapping[str, Job]) -> str:
    return f" (it has {', '.join(jobs)})" if jobs else " (it has none)"


def _import(root: Path, module: str, place: str) -> ModuleType:
    if not module.endswith(".py"):
        sys.path.insert(0, str(root))
        if not _exists(module):
            raise RequestError(f"module {module} does not exist on the path or in the current folder")
    streams = sys.stdout, sys.stderr
    try:
        return import_from(root, module)
    except S3mrError as error:
        raise RequestError(f"{place}: {error}") from error
    except (Exception, SystemExit) as error:  # the user's module runs
        raise RequestError(f"{place} cannot be imported:\n{users_traceback(error)[1]}") from error
    finally:
        sys.stdout, sys.stderr = streams  # the command needs them to print the result


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
    except (Exception, SystemExit) as error:  # importing a parent package runs its code
        raise RequestError(f"{module} cannot be imported:\n{users_traceback(error)[1]}") from error
