"""Where a job's code lies: the module that holds it, the folder it is imported from, and the files it needs."""

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
    "workers import the job from a file, and this one is in none: write it into a module "
    "(in a notebook: a cell that begins with %%writefile wordcount.py), and import it from there"
)


@dataclass(frozen=True, slots=True)
class Code:
    """A job's place: ``name`` in ``module``, which is a dotted name or a file's path below ``root``."""

    root: Path
    module: str
    name: str

    def files(self, include: Sequence[Path] = ()) -> dict[str, Path]:
        """Return the files that a worker needs, by their name in the bundle: their path below ``root``.

        These are the job's file, and what this process has imported from below ``root`` so far: modules as they
        are, packages whole. Installed packages stay out: workers have their own.

        ``include`` adds files and folders, relative to the current folder. What lies below ``root`` keeps its path
        there, so that the job's code finds it beside its own file; anything else comes under its own name. Below a
        folder, names that begin with ``.`` and ``__pycache__`` stay out.

        Raises:
            RequestError: something is not there or cannot be read, a name is taken by another content.
        """
        own = self.module if self.module.endswith(".py") else self.module.partition(".")[0]
        found: dict[str, Path] = {}
        try:
            for top in sorted({own, *_imported_below(self.root)}):
                for path in _files_of(self.root, top):
                    if path.is_file():  # a pipe, a socket or a device is no code
                        found[path.relative_to(self.root).as_posix()] = path
            for asked in include:
                for name, path in _included(self.root, asked):
                    standing = found.setdefault(name, path)
                    if standing != path and not filecmp.cmp(standing, path, shallow=False):
                        raise RequestError(f"--include {asked}: as {name}, the job's code has {standing} already")
        except OSError as error:
            raise RequestError(f"the code cannot be read: {error}") from error
        if taken := [name for name in found if name.partition("/")[0] == PACKAGES]:
            raise RequestError(f"the job's code has {taken[0]}, but {PACKAGES} is for --requirements: rename it")
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
    folder = _plain(root)
    installed = {_plain(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    environment = _plain(sys.prefix)  # often a folder beside the job; and its `s3mr` script is a module, too
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
    """Return ``path`` from the root, without ``..``, so that what it is below can be read from it; links stay."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - `Path.absolute` keeps `..`


def _files_of(root: Path, top: str) -> Iterator[Path]:
    """Yield the files of one module or package that lies in ``root``."""
    for path in (root / top, root / f"{top}.py"):
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from _files_below(path)


def _included(root: Path, asked: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files behind one ``--include``, each with its name in the bundle."""
    path = _plain(asked)
    if not path.exists():
        raise RequestError(f"--include {asked}: there is no such file or folder")
    place = _below(root, path)
    if place is None and not path.name:
        raise RequestError(f"--include {asked}: the whole file system is no part of a job")
    base = Path(path.name) if place is None else place
    files = list(_files_below(path)) if path.is_dir() else [path]
    if not files:
        raise RequestError(f"--include {asked}: there is nothing in it but names that begin with a dot")
    for file in files:
        if not file.is_file():
            raise RequestError(f"--include {asked}: {file} is neither a file nor a folder")
        yield (base / file.relative_to(path)).as_posix(), file


def _below(root: Path, path: Path) -> Path | None:
    """Return the place of ``path`` below ``root``, by their names or else by what these lead to; None if outside."""
    for outer, inner in ((_plain(root), path), (root.resolve(), path.resolve())):
        if inner.is_relative_to(outer):
            return inner.relative_to(outer)
    return None


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield what is no folder, sorted, through links to folders too, but never twice around."""
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while waiting:  # no recursion: folders may be nested deeper than Python's stack
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
