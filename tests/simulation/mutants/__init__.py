"""The mutants: each breaks one promise of the protocol, and the simulator must notice every one.

A mutant that survives is a hole in the invariants. Left out are changes that another check makes harmless (two
checksums over the same bytes, say): they cannot be seen from outside, by anybody.
"""

from typing import Final

from tests.simulation.mutants.data import DATA
from tests.simulation.mutants.deciding import DECIDING
from tests.simulation.mutants.ending import ENDING
from tests.simulation.mutants.launching import LAUNCHING
from tests.simulation.mutants.reporting import REPORTING
from tests.simulation.mutation import Mutant

MUTANTS: Final = (*DECIDING, *LAUNCHING, *REPORTING, *ENDING, *DATA)


def named(name: str) -> Mutant:
    """Return the mutant of that name."""
    return next(one for one in MUTANTS if one.name == name)
