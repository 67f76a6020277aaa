"""Breaks s3mr on purpose, in memory: a mutant is a change of one module's text, made while it is imported."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType


@dataclass(frozen=True, slots=True)
class Mutant:
    """One breakage. ``seed`` is the first one known to show it; ``changes`` are (text, other text), each found once."""

    name: str
    module: str
    seed: int
    changes: tuple[tuple[str, str], ...]


def mutant(name: str, module: str, seed: int, *changes: tuple[str, str]) -> Mutant:
    """Return the mutant that the arguments describe."""
    return Mutant(name, module, seed, changes)


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed text, never what was compiled before."""
        return compile(mutated(self.get_source(fullname) or "", self._mutant), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the mutant's module; all others are found as ever."""
        if fullname != self._mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, self._mutant)
        return spec


def mutated(source: str, mutant: Mutant) -> str:
    """Return ``source`` with the mutant's changes made.

    Raises:
        ValueError: a text does not stand there exactly once; the code has changed, and the mutant must follow.
    """
    for before, after in mutant.changes:
        if source.count(before) != 1:
            raise ValueError(f"mutant {mutant.name}: {before!r} stands in {mutant.module} {source.count(before)} times")
        source = source.replace(before, after)
    return source


def install(mutant: Mutant) -> None:
    """Have the mutant's module imported changed, from now on.

    Raises:
        ValueError: it has been imported already.
    """
    if mutant.module in sys.modules:
        raise ValueError(f"{mutant.module} was imported before it could be changed")
    sys.meta_path.insert(0, _Finder(mutant))
