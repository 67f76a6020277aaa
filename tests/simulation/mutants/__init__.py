"""The mutants: each breaks one promise of the protocol, and the simulator must detect every one.

A surviving mutant shows a hole in the invariants. Changes that another check makes harmless (for example, two checksums
over the same bytes) are left out, because they cannot be observed from outside.
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
    """Return the mutant with that name."""
    return next(one for one in MUTANTS if one.name == name)
