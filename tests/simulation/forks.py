"""Run each mutant in its own process, forked from one that has imported the unchanged simulator.

The fork forgets the module to change and all modules that have imported it, and imports them again.
"""

import builtins
import gc
import multiprocessing
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from types import ModuleType

from tests.simulation.mutation import Mutant, install

SeedsOf = Callable[[Mutant], Iterable[int]]
Importers = Mapping[str, set[str]]


def first_violations(
    mutants: Iterable[Mutant], seeds_of: SeedsOf, *, processes: int
) -> Iterator[tuple[Mutant, tuple[int, str] | None]]:
    """Yield each mutant with its first seed that breaks an invariant and the violation, or with None.

    Raises:
        RuntimeError: the process of a mutant has died; it has printed why.
    """
    importers = warm_up()
    running: deque[_Fork] = deque()
    for mutant in mutants:
        if len(running) == processes:
            yield running.popleft().result()
        running.append(_Fork(mutant, seeds_of(mutant), affected(mutant.module, importers)))
    while running:
        yield running.popleft().result()


def warm_up() -> Importers:
    """Import the simulator; return for each module of it and of s3mr the modules that have imported it."""
    importers: defaultdict[str, set[str]] = defaultdict(set)
    imported = builtins.__import__

    def noting(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the interpreter's names
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        found = imported(name, globals, locals, fromlist, level)
        if globals and _is_ours(name):
            modules = {f"{name}.{each}" for each in fromlist or ()} & sys.modules.keys() or {name}
            for module in modules | _packages(name):
                importers[module].add(str(globals["__name__"]))
        return found

    builtins.__import__ = noting
    try:
        import tests.simulation.seeds  # noqa: F401
    finally:
        builtins.__import__ = imported
    gc.collect()
    gc.freeze()
    return importers


def affected(module: str, importers: Importers) -> list[str]:
    """Return a module and all that imported it, directly or indirectly.

    A package includes all its modules: it may have registered one of them with another, as with formats.
    """
    found = [module]
    for each in found:
        inside = {name for name in sys.modules if name.startswith(f"{each}.")}
        found += sorted((importers.get(each, set()) | inside) - set(found))
    return [each for each in found if _is_ours(each)]


def forget(modules: Iterable[str]) -> None:
    """Make these modules be imported again when they are needed."""
    for name in modules:
        parent, _, child = name.rpartition(".")
        if sys.modules.pop(name, None) and parent in sys.modules:
            vars(sys.modules[parent]).pop(child, None)


def _packages(module: str) -> set[str]:
    """Return the packages of a module, whose code ran before it."""
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(2, len(parts))}


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in {"s3mr", "tests"}


class _Fork:
    def __init__(self, mutant: Mutant, seeds: Iterable[int], forgotten: list[str]) -> None:
        self._mutant = mutant
        context = multiprocessing.get_context("fork")
        self._answer, asked = context.Pipe(duplex=False)
        self._process = context.Process(target=_look, args=(asked, mutant, seeds, forgotten))
        self._process.start()
        asked.close()

    def result(self) -> tuple[Mutant, tuple[int, str] | None]:
        try:
            found: tuple[int, str] | None = self._answer.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"{self._mutant.name}: exit status {self._process.exitcode}") from None
        self._process.join()
        return self._mutant, found


def _look(
    answer: "Connection[tuple[int, str] | None, None]", mutant: Mutant, seeds: Iterable[int], forgotten: list[str]
) -> None:
    forget(forgotten)
    install(mutant)
    from tests.simulation.seeds import first_violation

    found = first_violation(seeds)
    answer.send((found.seed, str(found.violation)) if found else None)
