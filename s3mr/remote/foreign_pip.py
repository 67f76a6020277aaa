"""pip, told that it resolves for another machine: ``python -m s3mr.remote.foreign_pip MARKERS install …``.

pip's ``--platform`` and ``--python-version`` choose wheels, but environment markers (``; python_version < "3.12"``) are
answered by the Python that runs pip (pypa/pip issue 11664). So this answers them with MARKERS, a JSON object, before
pip starts. It runs in a process of its own, in which nothing else happens.
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
