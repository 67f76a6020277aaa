"""Find a job's code: the module that defines it, the folder it is imported from, and the files it needs."""

import filecmp
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from s3mr.errors import RequestError
from s3mr.usercode.imports import PACKAGES

NOTEBOOK_ADVICE = (
    "workers import the job from a file, and this one is not in a file: write it into a module "
    "(in a notebook: a cell that begins with %%writefile wordcount.py), and import it from there"
)


@dataclass(frozen=True, slots=True)
class Code:
    """Where a job is defined: ``name`` in ``module``, which is a dotted name or a file's path below ``root``."""

    root: Path
    module: str
    name: str

    def files(self, include: Sequence[Path] = ()) -> dict[str, Path]:
        """Return the files that a worker needs, by their name in the bundle: their path below ``root``.

        These are the job's file, and all modules and whole packages that this process has imported from below ``root``
        so far. Installed packages are left out: workers have their own.

        ``include`` adds files and folders, relative to the current folder. A path below ``root`` keeps its place there,
        so that the job's code finds it beside its own file. Any other path is added under its own name. In a folder,
        names that begin with ``.`` and ``__pycache__`` are left out.

        Raises:
            RequestError: a path does not exist or cannot be read, or two files have the same name in the bundle.
        """
        own = self.module if self.module.endswith(".py") else self.module.partition(".")[0]
        found: dict[str, Path] = {}
        try:
            for top in sorted({own, *_imported_below(self.root)}):
                for path in _files_of(self.root, top):
                    if path.is_file():  # not a pipe, a socket or a device
                        found[path.relative_to(self.root).as_posix()] = path
            for asked in include:
                for name, path in _included(self.root, asked):
                    existing = found.setdefault(name, path)
                    if existing != path and not filecmp.cmp(existing, path, shallow=False):
                        raise RequestError(
                            f"--include {asked}: the job's code already has {existing} as {name}: rename one of them"
                        )
        except OSError as error:
            raise RequestError(f"the code cannot be read: {error}") from error
        if taken := [name for name in found if name.partition("/")[0] == PACKAGES]:
            raise RequestError(
                f"the job's code has {taken[0]}, but {PACKAGES} is reserved for --requirements: rename it"
            )
        return found


def locate(job: object) -> Code:
    """Return where ``job``, an object in this process, can be imported from.

    Raises:
        RequestError: it is not a global of a module, or its module is not in a file.
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
    folder = _plain(root)
    installed = {_plain(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    environment = _plain(sys.prefix)  # often a folder beside the job; its `s3mr` script is an imported module, too
    if sys.prefix != sys.base_prefix and not folder.is_relative_to(environment):
        installed.add(environment)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name == "s3mr" or name.startswith("s3mr."):
            continue
        path = _plain(file)
        if path.is_relative_to(folder) and not any(path.is_relative_to(one) for one in installed):
            yield path.relative_to(folder).parts[0]


def _plain(path: str | Path) -> Path:
    """Return ``path`` absolute and without ``..``, so that paths can be compared. Links are not resolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - `Path.absolute` keeps `..`


def _files_of(root: Path, top: str) -> Iterator[Path]:
    """Yield the files of one module or package in ``root``."""
    for path in (root / top, root / f"{top}.py"):
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from _files_below(path)


def _included(root: Path, asked: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of one ``--include``, each with its name in the bundle."""
    path = _plain(asked)
    if not path.exists():
        raise RequestError(f"--include {asked}: there is no such file or folder")
    place = _below(root, path)
    if place is None and not path.name:
        raise RequestError(f"--include {asked}: this is the whole file system: name a folder of the job")
    base = Path(path.name) if place is None else place
    files = list(_files_below(path)) if path.is_dir() else [path]
    if not files:
        raise RequestError(f"--include {asked}: the folder is empty, or all its names begin with a dot")
    for file in files:
        if not file.is_file():
            raise RequestError(f"--include {asked}: {file} is neither a file nor a folder")
        yield (base / file.relative_to(path)).as_posix(), file


def _below(root: Path, path: Path) -> Path | None:
    """Return ``path`` relative to ``root``, by their names or with links resolved; None if it is outside."""
    for outer, inner in ((_plain(root), path), (root.resolve(), path.resolve())):
        if inner.is_relative_to(outer):
            return inner.relative_to(outer)
    return None


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield everything below ``folder`` that is not a folder, sorted. Follows links, but not in cycles."""
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while waiting:  # not recursive: folders may be nested deeper than Python's stack
        path, above = waiting.pop()
        if not path.is_dir():
            yield path
            continue
        found = path.stat()
        here = (found.st_dev, found.st_ino)
        if here not in above:
            below = sorted(path.iterdir(), reverse=True)
            named = [one for one in below if not one.name.startswith(".") and one.name != "__pycache__"]
            waiting += [(one, above | {here}) for one in named]
