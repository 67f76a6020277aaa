"""Where a job's code lies: the module that holds it, the folder it is imported from, and the files it needs."""

import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from s3mr.errors import RequestError

NOTEBOOK_ADVICE = (
    "workers import the job from a file, and this one is in none: write it into a module "
    "(in a notebook: a cell that begins with %%writefile wordcount.py), and import it from there"
)


@dataclass(frozen=True, slots=True)
class Code:
    """A job's place: ``name`` in ``module``, which is a dotted name or a file's path below ``root``."""

    root: Path
    module: str
    name: str

    def files(self) -> dict[str, Path]:
        """Return the files that a worker needs, by their path below ``root``.

        These are the job's file, and what this process has imported from below ``root`` so far: modules as they
        are, packages whole. Installed packages stay out: workers have their own.
        """
        own = self.module if self.module.endswith(".py") else self.module.partition(".")[0]
        tops = {own, *_imported_below(self.root)}
        found: dict[str, Path] = {}
        for top in sorted(tops):
            for path in _files_of(self.root, top):
                found[path.relative_to(self.root).as_posix()] = path
        return found


def locate(job: object) -> Code:
    """Return where ``job``, an object in this process, can be imported from.

    Raises:
        RequestError: it is no global of a module, or its module lies in no file.
    """
    functions = [getattr(job, name, None) for name in ("map", "reduce", "combine")]
    likely = [getattr(function, "__module__", None) for function in functions]
    modules = [sys.modules[name] for name in [*likely, *list(sys.modules)] if name in sys.modules]
    for module in modules:
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is job:
                return code_in(module, name)
    raise RequestError(f"the Job must be a global of a module, so that workers find it; {NOTEBOOK_ADVICE}")


def code_in(module: ModuleType, name: str) -> Code:
    """Return where the global ``name`` of ``module`` can be imported from."""
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py") or not Path(file).is_file():
        raise RequestError(NOTEBOOK_ADVICE)
    path = Path(file).absolute()
    parts = () if module.__name__ == "__main__" else tuple(module.__name__.split("."))
    for tail in ((*parts[:-1], f"{parts[-1]}.py"), (*parts, "__init__.py")) if parts else ():
        if path.parts[-len(tail) :] == tail:
            return Code(Path(*path.parts[: -len(tail)]), module.__name__, name)
    return Code(path.parent, path.name, name)


def _imported_below(root: Path) -> Iterator[str]:
    """Yield the first component, below ``root``, of every module that was imported from there."""
    installed = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name == "s3mr" or name.startswith("s3mr."):
            continue
        path = Path(file).absolute()
        if path.is_relative_to(root) and not any(path.is_relative_to(one) for one in installed):
            yield path.relative_to(root).parts[0]


def _files_of(root: Path, top: str) -> Iterator[Path]:
    """Yield the files of one module or package that lies in ``root``."""
    for path in (root / top, root / f"{top}.py"):
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from (
                file
                for file in sorted(path.rglob("*"))
                if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")
            )
