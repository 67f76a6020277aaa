"""Break s3mr on purpose, in memory: a mutant changes a module's text while it is imported."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of code. ``seed`` is the first to detect it. ``changes`` are (old, new) texts, each found once."""

    name: str
    module: str
    seed: int
    changes: tuple[tuple[str, str], ...]


def mutant(name: str, module: str, seed: int, *changes: tuple[str, str]) -> Mutant:
    """Return the mutant with these arguments."""
    return Mutant(name, module, seed, changes)


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed text, and never use cached bytecode."""
        return compile(mutated(self.get_source(fullname) or "", self._mutant), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the mutant's module; find all others as usual."""
        if fullname != self._mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, self._mutant)
        return spec


def mutated(source: str, mutant: Mutant) -> str:
    """Return ``source`` with the mutant's changes.

    Raises:
        ValueError: a text does not occur exactly once; the code has changed, so update the mutant.
    """
    for before, after in mutant.changes:
        if source.count(before) != 1:
            raise ValueError(f"mutant {mutant.name}: {before!r} occurs in {mutant.module} {source.count(before)} times")
        source = source.replace(before, after)
    return source


def install(mutant: Mutant) -> None:
    """Make later imports of the mutant's module load the changed code.

    Raises:
        ValueError: it is already imported.
    """
    if mutant.module in sys.modules:
        raise ValueError(f"{mutant.module} was imported before it could be changed")
    sys.meta_path.insert(0, _Finder(mutant))
