"""Run pip for another machine: ``python -m s3mr.remote.foreign_pip MARKERS install …``.

pip's ``--platform`` and ``--python-version`` choose wheels, but pip evaluates environment markers
(``; python_version < "3.12"``) with the Python that runs it (pypa/pip issue 11664). This module replaces the marker
environment with MARKERS, a JSON object, before pip starts. It runs in a separate process.
"""

import json
import sys
from importlib import import_module
from typing import Final

UNKNOWN_PIP_STATUS: Final = 70  # EX_SOFTWARE


def main() -> None:
    """Run pip with the rest of the command line."""
    markers = import_module("pip._vendor.packaging.markers")
    if not callable(getattr(markers, "default_environment", None)):
        sys.exit(UNKNOWN_PIP_STATUS)
    environment = json.loads(sys.argv[1])
    markers.default_environment = lambda: dict(environment)  # type: ignore[attr-defined]
    sys.exit(import_module("pip._internal.cli.main").main(sys.argv[2:]))


if __name__ == "__main__":
    main()
