"""Every generated block, by the name that stands in its marker."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from docs.generate import command_line, facts, measured, python_api, stack
from docs.generate.blocks import Generator

GENERATORS: Final[Mapping[str, Generator]] = {
    "command-line": command_line.reference,
    "python-api": python_api.reference,
    "limits": facts.limits_table,
    "defaults": facts.defaults_table,
    "timings": facts.timings_table,
    "exit-statuses": facts.statuses_table,
    "coordinator-cost": facts.coordinator_table,
    "prices": facts.prices_table,
    "parameters": stack.parameters,
    "roles": stack.roles,
    "timing": measured.timing,
    "peers": measured.peers,
    "comparison": measured.comparison,
    "memory": measured.memory,
    "shares": partial(measured.plain, "shares"),
    "start": partial(measured.plain, "start"),
    "steps": partial(measured.plain, "steps"),
    "scale": partial(measured.printed, "scale"),
    "scale-seeds": partial(measured.printed, "scale-seeds"),
}
