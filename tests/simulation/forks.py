"""Run each mutant in a process of its own, forked from one that has everything imported but what may be mutated."""

import gc
import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection

from tests.simulation.mutation import Mutant, install

SeedsOf = Callable[[Mutant], Iterable[int]]


def first_violations(
    mutants: Iterable[Mutant], seeds_of: SeedsOf, *, processes: int
) -> Iterator[tuple[Mutant, tuple[int, str] | None]]:
    """Yield each mutant with the first of its seeds that breaks an invariant, and which; with nothing if none does.

    Raises:
        RuntimeError: the process of a mutant has died; it has printed why.
    """
    warm_up()
    running: deque[_Fork] = deque()
    for mutant in mutants:
        if len(running) == processes:
            yield running.popleft().result()
        running.append(_Fork(mutant, seeds_of(mutant)))
    while running:
        yield running.popleft().result()


def warm_up() -> None:
    """Import what the simulator needs, then forget s3mr and the simulator, which a fork imports anew.

    What others wrote stays imported: that is most of what starting an interpreter for each mutant would cost.
    """
    before = set(sys.modules)
    import tests.simulation.seeds  # noqa: F401

    ours = [name for name in sys.modules.keys() - before if name.partition(".")[0] in {"s3mr", "tests"}]
    for name in ours:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            delattr(sys.modules[parent], child)
    gc.collect()
    gc.freeze()


class _Fork:
    def __init__(self, mutant: Mutant, seeds: Iterable[int]) -> None:
        self._mutant = mutant
        context = multiprocessing.get_context("fork")
        self._answer, asked = context.Pipe(duplex=False)
        self._process = context.Process(target=_look, args=(asked, mutant, seeds))
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


def _look(answer: "Connection[tuple[int, str] | None, None]", mutant: Mutant, seeds: Iterable[int]) -> None:
    install(mutant)
    from tests.simulation.seeds import first_violation

    found = first_violation(seeds)
    answer.send((found.seed, str(found.violation)) if found else None)
